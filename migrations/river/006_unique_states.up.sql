-- A unique job is unique among jobs in chosen states: one bit a state, the leftmost is bit 0.

CREATE FUNCTION :"schema".river_job_state_in_bitmask(bitmask bit(8), state :"schema".river_job_state)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
AS $$
  SELECT CASE state
    WHEN 'available' THEN pg_catalog.get_bit(bitmask, 7)
    WHEN 'cancelled' THEN pg_catalog.get_bit(bitmask, 6)
    WHEN 'completed' THEN pg_catalog.get_bit(bitmask, 5)
    WHEN 'discarded' THEN pg_catalog.get_bit(bitmask, 4)
    WHEN 'pending' THEN pg_catalog.get_bit(bitmask, 3)
    WHEN 'retryable' THEN pg_catalog.get_bit(bitmask, 2)
    WHEN 'running' THEN pg_catalog.get_bit(bitmask, 1)
    WHEN 'scheduled' THEN pg_catalog.get_bit(bitmask, 0)
    ELSE 0
  END = 1
$$;

-- statement

ALTER TABLE :"schema".river_job ADD COLUMN unique_states bit(8);

-- statement

CREATE UNIQUE INDEX river_job_unique_idx ON :"schema".river_job (unique_key)
WHERE unique_key IS NOT NULL
  AND unique_states IS NOT NULL
  AND :"schema".river_job_state_in_bitmask(unique_states, state);

-- statement

DROP INDEX :"schema".river_job_kind_unique_key_idx;
