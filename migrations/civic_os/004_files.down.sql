DROP FUNCTION public.create_file_record(uuid, text, text, text, text, bigint, text, text, text, text);

-- statement

DROP TABLE :"schema".files;
