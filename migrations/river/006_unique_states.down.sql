DROP INDEX :"schema".river_job_unique_idx;

-- statement

ALTER TABLE :"schema".river_job DROP COLUMN unique_states;

-- statement

DROP FUNCTION :"schema".river_job_state_in_bitmask(bit, :"schema".river_job_state);

-- statement

CREATE UNIQUE INDEX river_job_kind_unique_key_idx ON :"schema".river_job (kind, unique_key)
WHERE unique_key IS NOT NULL;
