DROP FUNCTION public.request_upload_url(text, text, text, text);

-- statement

DROP FUNCTION public.get_upload_url(uuid);
