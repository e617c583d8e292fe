-- river_migration in its present shape: versions belong to a line. What it holds moves to the line main.

ALTER TABLE :"schema".river_migration RENAME TO river_migration_old;

-- statement

CREATE TABLE :"schema".river_migration (
  line text NOT NULL,
  version bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT line_length CHECK (char_length(line) BETWEEN 1 AND 127),
  CONSTRAINT version_gte_1 CHECK (version >= 1),
  PRIMARY KEY (line, version)
);

-- statement

INSERT INTO :"schema".river_migration (line, version, created_at)
SELECT 'main', version, created_at FROM :"schema".river_migration_old;

-- statement

DROP TABLE :"schema".river_migration_old;

-- statement

ALTER TABLE :"schema".river_job ADD COLUMN unique_key bytea;

-- statement

CREATE UNIQUE INDEX river_job_kind_unique_key_idx ON :"schema".river_job (kind, unique_key)
WHERE unique_key IS NOT NULL;

-- statement

-- No client ever used these two; version 7 drops them.
CREATE UNLOGGED TABLE :"schema".river_client (
  id text NOT NULL PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  metadata jsonb NOT NULL DEFAULT '{}',
  paused_at timestamptz,
  updated_at timestamptz NOT NULL,
  CONSTRAINT name_length CHECK (char_length(id) BETWEEN 1 AND 127)
);

-- statement

CREATE UNLOGGED TABLE :"schema".river_client_queue (
  river_client_id text NOT NULL REFERENCES :"schema".river_client (id) ON DELETE CASCADE,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  max_workers bigint NOT NULL DEFAULT 0,
  metadata jsonb NOT NULL DEFAULT '{}',
  num_jobs_completed bigint NOT NULL DEFAULT 0,
  num_jobs_running bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (river_client_id, name),
  CONSTRAINT name_length CHECK (char_length(name) BETWEEN 1 AND 127),
  CONSTRAINT num_jobs_completed_zero_or_positive CHECK (num_jobs_completed >= 0),
  CONSTRAINT num_jobs_running_zero_or_positive CHECK (num_jobs_running >= 0)
);
