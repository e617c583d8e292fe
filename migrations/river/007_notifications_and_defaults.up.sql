-- river_notification is for databases without NOTIFY: on PostgreSQL nothing reads or writes it.

CREATE TABLE :"schema".river_notification (
  id bigserial PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(),
  payload text NOT NULL,
  topic text NOT NULL,
  CONSTRAINT topic_length CHECK (char_length(topic) BETWEEN 1 AND 127)
);

-- statement

CREATE INDEX river_notification_created_at_idx ON :"schema".river_notification (created_at);

-- statement

CREATE INDEX river_notification_topic_id_idx ON :"schema".river_notification (topic, id);

-- statement

DROP TABLE :"schema".river_client_queue;

-- statement

DROP TABLE :"schema".river_client;

-- statement

ALTER TABLE :"schema".river_job ALTER COLUMN max_attempts SET DEFAULT 25;

-- statement

ALTER TABLE :"schema".river_queue ALTER COLUMN updated_at SET DEFAULT CURRENT_TIMESTAMP;
