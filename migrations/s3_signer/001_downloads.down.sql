DROP FUNCTION public.get_download_url(uuid);

-- statement

DROP FUNCTION public.request_download_url(uuid, boolean);

-- statement

DROP FUNCTION public.request_download_urls(uuid[], boolean);

-- statement

DROP TABLE :"schema".file_download_requests;

-- statement

DROP FUNCTION :"schema".insert_s3_presign_download_job();

-- statement

DROP FUNCTION :"schema".clear_file_download_keys();

-- statement

DROP FUNCTION :"schema".accept_file_download();

-- statement

DROP FUNCTION :"schema".file_download_snapshot(uuid[], jsonb[]);

-- statement

DROP FUNCTION :"schema".file_download_asker();

-- statement

DROP FUNCTION :"schema".file_download_request_id();

-- statement

NOTIFY pgrst, 'reload schema';
