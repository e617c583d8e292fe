-- Upload requests: what a browser asks for and, once the worker has answered, the URL it gets.

-- Version 7: 48 bits of milliseconds, then the random bits of a version 4, whose variant stays in its place.
-- The body is parsed here and now, so that no caller's search_path can change what it means.
CREATE FUNCTION :"schema".uuid_generate_v7() RETURNS uuid
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN (
  lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
  || '7'
  || substr(replace(gen_random_uuid()::text, '-', ''), 14)
)::uuid;

-- statement

CREATE TABLE :"schema".file_upload_requests (
  id uuid PRIMARY KEY DEFAULT :"schema".uuid_generate_v7(),
  entity_type text NOT NULL,
  entity_id text NOT NULL,
  file_name text NOT NULL,
  file_type text NOT NULL,
  status text DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
  presigned_url text,
  s3_key text,
  file_id uuid,
  error_message text,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- statement

CREATE INDEX idx_upload_requests_status ON :"schema".file_upload_requests (status, created_at);

-- statement

-- The role of users who are logged in, where there is one.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'authenticated') THEN
    GRANT USAGE ON SCHEMA :"schema" TO authenticated;
    GRANT SELECT ON :"schema".file_upload_requests TO authenticated;
  END IF;
END
$$;
