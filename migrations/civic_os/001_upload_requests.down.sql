DROP TABLE :"schema".file_upload_requests;

-- statement

DROP FUNCTION :"schema".uuid_generate_v7();
