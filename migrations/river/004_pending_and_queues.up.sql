-- Jobs always have args and metadata; the state pending; queues; no notification from the table itself.

UPDATE :"schema".river_job SET args = '{}' WHERE args IS NULL;

-- statement

UPDATE :"schema".river_job SET metadata = '{}' WHERE metadata IS NULL;

-- statement

-- River's own way down leaves metadata without its default.
ALTER TABLE :"schema".river_job
  ALTER COLUMN args SET NOT NULL,
  ALTER COLUMN metadata SET DEFAULT '{}',
  ALTER COLUMN metadata SET NOT NULL;

-- statement

-- The value is first used by version 6, another transaction: PostgreSQL before 17 refuses a use in this one.
-- It may be there already, because going down cannot take it away.
ALTER TYPE :"schema".river_job_state ADD VALUE IF NOT EXISTS 'pending' AFTER 'discarded';

-- statement

ALTER TABLE :"schema".river_job
  DROP CONSTRAINT finalized_or_finalized_at_null,
  ADD CONSTRAINT finalized_or_finalized_at_null
    CHECK ((finalized_at IS NOT NULL) = (state IN ('cancelled', 'completed', 'discarded')));

-- statement

DROP TRIGGER river_notify ON :"schema".river_job;

-- statement

DROP FUNCTION :"schema".river_job_notify();

-- statement

CREATE TABLE :"schema".river_queue (
  name text PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  metadata jsonb NOT NULL DEFAULT '{}',
  paused_at timestamptz,
  updated_at timestamptz NOT NULL
);

-- statement

-- A lease under any other name ends here; its holder stands for election again.
DELETE FROM :"schema".river_leader WHERE name <> 'default';

-- statement

ALTER TABLE :"schema".river_leader
  ALTER COLUMN name SET DEFAULT 'default',
  DROP CONSTRAINT name_length,
  ADD CONSTRAINT name_length CHECK (name = 'default');
