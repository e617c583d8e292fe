-- The state pending stays in the type: PostgreSQL cannot take a value out of an enum.

ALTER TABLE :"schema".river_leader
  ALTER COLUMN name DROP DEFAULT,
  DROP CONSTRAINT name_length,
  ADD CONSTRAINT name_length CHECK (char_length(name) BETWEEN 1 AND 127);

-- statement

DROP TABLE :"schema".river_queue;

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

ALTER TABLE :"schema".river_job
  DROP CONSTRAINT finalized_or_finalized_at_null,
  ADD CONSTRAINT finalized_or_finalized_at_null
    CHECK (finalized_at IS NOT NULL OR state NOT IN ('cancelled', 'completed', 'discarded'));

-- statement

ALTER TABLE :"schema".river_job ALTER COLUMN args DROP NOT NULL;
