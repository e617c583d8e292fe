-- What a browser calls, through PostgREST or plain SQL. Anybody may: EXECUTE stays with PUBLIC.

-- The notification wakes the worker at commit. A payload of 8,000 bytes or more makes the call fail.
CREATE FUNCTION public.request_upload_url(p_entity_type text, p_entity_id text, p_file_name text, p_file_type text)
RETURNS uuid
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  request_id uuid;
BEGIN
  INSERT INTO :"schema".file_upload_requests (entity_type, entity_id, file_name, file_type)
  VALUES (p_entity_type, p_entity_id, p_file_name, p_file_type)
  RETURNING id INTO request_id;

  PERFORM pg_notify(
    'upload_url_request',
    json_build_object(
      'requestId', request_id,
      'fileName', p_file_name,
      'fileType', p_file_type,
      'entityType', p_entity_type,
      'entityId', p_entity_id
    )::text
  );
  RETURN request_id;
END
$$;

-- statement

-- No row: no such request.
CREATE FUNCTION public.get_upload_url(p_request_id uuid)
RETURNS TABLE (status text, url text, file_id uuid, error text)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT request.status, request.presigned_url, request.file_id, request.error_message
  FROM :"schema".file_upload_requests AS request
  WHERE request.id = p_request_id;
END;
