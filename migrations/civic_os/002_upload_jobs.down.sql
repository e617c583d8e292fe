DROP TRIGGER insert_s3_presign_job_trigger ON :"schema".file_upload_requests;

-- statement

DROP FUNCTION :"schema".insert_s3_presign_job();
