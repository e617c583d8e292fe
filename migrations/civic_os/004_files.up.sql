-- The files that were uploaded. There is no row-level security: who may see which file is for the application to say.

-- file_size is as wide as the RPC's parameter, because one PUT may carry 5 GiB.
CREATE TABLE :"schema".files (
  id uuid PRIMARY KEY DEFAULT :"schema".uuid_generate_v7(),
  entity_type text NOT NULL,
  entity_id text NOT NULL,
  file_name text NOT NULL,
  file_type text NOT NULL,
  file_size bigint NOT NULL,
  s3_key_prefix text GENERATED ALWAYS AS (entity_type || '/' || entity_id || '/' || id) STORED,
  s3_original_key text NOT NULL,
  s3_thumbnail_small_key text,
  s3_thumbnail_medium_key text,
  s3_thumbnail_large_key text,
  thumbnail_status text DEFAULT 'pending'
    CHECK (thumbnail_status IN ('pending', 'processing', 'completed', 'failed', 'not_applicable')),
  thumbnail_error text,
  created_by uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  s3_bucket varchar(255) NOT NULL DEFAULT 'civic-os-files',
  property_name text
);

-- statement

CREATE INDEX idx_files_entity ON :"schema".files (entity_type, entity_id);

-- statement

-- Called once the object is stored; answers with the row as JSON.
CREATE FUNCTION public.create_file_record(
  p_id uuid,
  p_entity_type text,
  p_entity_id text,
  p_file_name text,
  p_file_type text,
  p_file_size bigint,
  p_s3_bucket text,
  p_s3_original_key text,
  p_thumbnail_status text DEFAULT 'not_applicable',
  p_property_name text DEFAULT NULL
)
RETURNS json
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  INSERT INTO :"schema".files AS file (
    id,
    entity_type,
    entity_id,
    file_name,
    file_type,
    file_size,
    s3_bucket,
    s3_original_key,
    thumbnail_status,
    property_name
  )
  VALUES (
    p_id,
    p_entity_type,
    p_entity_id,
    p_file_name,
    p_file_type,
    p_file_size,
    p_s3_bucket,
    p_s3_original_key,
    p_thumbnail_status,
    p_property_name
  )
  RETURNING row_to_json(file);
END;

-- statement

REVOKE ALL ON FUNCTION
  public.create_file_record(uuid, text, text, text, text, bigint, text, text, text, text)
FROM PUBLIC;

-- statement

-- The role of users who are logged in, where there is one.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'authenticated') THEN
    GRANT SELECT ON :"schema".files TO authenticated;
    GRANT EXECUTE ON FUNCTION
      public.create_file_record(uuid, text, text, text, text, bigint, text, text, text, text)
    TO authenticated;
  END IF;
END
$$;
