DROP TABLE :"schema".river_migration;

-- statement

-- The schema goes if version 1 made it and nothing else is in it.
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_catalog.pg_namespace
    WHERE nspname = :'schema'
      AND pg_catalog.obj_description(oid, 'pg_namespace') = 'made by s3-signer migrate'
  ) THEN
    DROP SCHEMA :"schema";
  END IF;
EXCEPTION
  WHEN dependent_objects_still_exist THEN NULL;
END
$$;
