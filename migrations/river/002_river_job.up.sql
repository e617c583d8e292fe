-- Jobs, and the lease that makes one client the leader.

CREATE TYPE :"schema".river_job_state AS ENUM (
  'available',
  'cancelled',
  'completed',
  'discarded',
  'retryable',
  'running',
  'scheduled'
);

-- statement

CREATE TABLE :"schema".river_job (
  id bigserial PRIMARY KEY,
  state :"schema".river_job_state NOT NULL DEFAULT 'available',
  attempt smallint NOT NULL DEFAULT 0,
  max_attempts smallint NOT NULL,
  attempted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  finalized_at timestamptz,
  scheduled_at timestamptz NOT NULL DEFAULT now(),
  priority smallint NOT NULL DEFAULT 1,
  args jsonb,
  attempted_by text[],
  errors jsonb[],
  kind text NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}',
  queue text NOT NULL DEFAULT 'default',
  tags varchar(255)[],

  -- One way only: a final job has a time. Version 4 makes it hold both ways.
  CONSTRAINT finalized_or_finalized_at_null
    CHECK (finalized_at IS NOT NULL OR state NOT IN ('cancelled', 'completed', 'discarded')),
  CONSTRAINT kind_length CHECK (char_length(kind) BETWEEN 1 AND 127),
  CONSTRAINT max_attempts_is_positive CHECK (max_attempts > 0),
  CONSTRAINT priority_in_range CHECK (priority BETWEEN 1 AND 4),
  CONSTRAINT queue_length CHECK (char_length(queue) BETWEEN 1 AND 127)
);

-- statement

CREATE INDEX river_job_kind ON :"schema".river_job (kind);

-- statement

CREATE INDEX river_job_state_and_finalized_at_index ON :"schema".river_job (state, finalized_at)
WHERE finalized_at IS NOT NULL;

-- statement

CREATE INDEX river_job_prioritized_fetching_index ON :"schema".river_job (state, queue, priority, scheduled_at, id);

-- statement

CREATE INDEX river_job_args_index ON :"schema".river_job USING gin (args);

-- statement

CREATE INDEX river_job_metadata_index ON :"schema".river_job USING gin (metadata);

-- statement

CREATE FUNCTION :"schema".river_job_notify() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF NEW.state = 'available' THEN
    PERFORM pg_catalog.pg_notify('river_insert', pg_catalog.json_build_object('queue', NEW.queue)::text);
  END IF;
  RETURN NULL;
END
$$;

-- statement

CREATE TRIGGER river_notify AFTER INSERT ON :"schema".river_job
FOR EACH ROW EXECUTE FUNCTION :"schema".river_job_notify();

-- statement

-- Unlogged: a crash of the server empties it, and the next election fills it.
CREATE UNLOGGED TABLE :"schema".river_leader (
  elected_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  leader_id text NOT NULL,
  name text PRIMARY KEY,
  CONSTRAINT name_length CHECK (char_length(name) BETWEEN 1 AND 127),
  CONSTRAINT leader_id_length CHECK (char_length(leader_id) BETWEEN 1 AND 127)
);
