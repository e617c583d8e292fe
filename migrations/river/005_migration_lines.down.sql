DROP TABLE :"schema".river_client_queue;

-- statement

DROP TABLE :"schema".river_client;

-- statement

DROP INDEX :"schema".river_job_kind_unique_key_idx;

-- statement

ALTER TABLE :"schema".river_job DROP COLUMN unique_key;

-- statement

-- The old shape has room for one line.
DO $$
BEGIN
  IF EXISTS (SELECT FROM :"schema".river_migration WHERE line <> 'main') THEN
    RAISE EXCEPTION 'river_migration holds versions of another line than main: take that line down first';
  END IF;
END
$$;

-- statement

ALTER TABLE :"schema".river_migration RENAME TO river_migration_old;

-- statement

CREATE TABLE :"schema".river_migration (
  id bigserial PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  version bigint NOT NULL,
  CONSTRAINT version CHECK (version >= 1)
);

-- statement

CREATE UNIQUE INDEX river_migration_version_idx ON :"schema".river_migration (version);

-- statement

INSERT INTO :"schema".river_migration (version, created_at)
SELECT version, created_at FROM :"schema".river_migration_old ORDER BY version;

-- statement

DROP TABLE :"schema".river_migration_old;
