-- The schema, marked as ours when it is, and in it which versions are applied: this is the first shape of the table,
-- version 5 gives it lines.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :'schema') THEN
    CREATE SCHEMA :"schema";
    COMMENT ON SCHEMA :"schema" IS 'made by s3-signer migrate';
  END IF;
END
$$;

-- statement

CREATE TABLE :"schema".river_migration (
  id bigserial PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  version bigint NOT NULL,
  CONSTRAINT version CHECK (version >= 1)
);

-- statement

CREATE UNIQUE INDEX river_migration_version_idx ON :"schema".river_migration (version);
