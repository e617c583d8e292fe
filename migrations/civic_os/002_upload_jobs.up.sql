-- Every new request is a job. Whoever may insert a request need not be allowed to insert a job: the function runs with
-- its owner's rights.

CREATE FUNCTION :"schema".insert_s3_presign_job() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO :"schema".river_job (kind, queue, priority, max_attempts, args)
  VALUES (
    's3_presign',
    's3_signer',
    1,
    25,
    jsonb_build_object(
      'request_id', NEW.id::text,
      'file_name', NEW.file_name,
      'file_type', NEW.file_type,
      'entity_type', NEW.entity_type,
      'entity_id', NEW.entity_id
    )
  );
  RETURN NULL;
END
$$;

-- statement

-- Otherwise anybody could put it on a table of their own. A trigger that is there needs no such right.
REVOKE ALL ON FUNCTION :"schema".insert_s3_presign_job() FROM PUBLIC;

-- statement

CREATE TRIGGER insert_s3_presign_job_trigger AFTER INSERT ON :"schema".file_upload_requests
FOR EACH ROW EXECUTE FUNCTION :"schema".insert_s3_presign_job();
