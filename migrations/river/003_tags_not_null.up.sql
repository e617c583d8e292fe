ALTER TABLE :"schema".river_job ALTER COLUMN tags SET DEFAULT '{}';

-- statement

UPDATE :"schema".river_job SET tags = '{}' WHERE tags IS NULL;

-- statement

ALTER TABLE :"schema".river_job ALTER COLUMN tags SET NOT NULL;
