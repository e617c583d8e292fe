DROP TABLE :"schema".river_job;

-- statement

DROP FUNCTION :"schema".river_job_notify();

-- statement

DROP TYPE :"schema".river_job_state;

-- statement

DROP TABLE :"schema".river_leader;
