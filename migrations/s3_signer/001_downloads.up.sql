-- Download requests: what a caller asks for and, once the worker has answered, a URL for each file.
--
-- Who may have which file is decided by the privileges and policies on `files`, as they hold for the caller. So whatever
-- reads that table runs with the caller's rights, and keeps the caller's search_path, which the functions of a policy may
-- depend on. Where a caller's search_path is in force, no name here is left to it: functions in SQL with a body that is
-- parsed here and now, and in plpgsql every function, operator and type with its schema.

-- Version 7, as file_upload_requests has it, without what Civic OS or an extension would have to bring.
CREATE FUNCTION :"schema".file_download_request_id() RETURNS uuid
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN (
  lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
  || '7'
  || substr(replace(gen_random_uuid()::text, '-', ''), 14)
)::uuid;

-- statement

-- Who asks: the role that the session has taken on, or logged in as, and the subject of PostgREST's token, in its present
-- and its older form. Neither changes inside a function that runs with its owner's rights.
CREATE FUNCTION :"schema".file_download_asker() RETURNS text
LANGUAGE sql
STABLE
RETURN jsonb_build_object(
  'role', coalesce(nullif(current_setting('role'), 'none'), session_user),
  'sub', coalesce(
    nullif(nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub', ''),
    nullif(current_setting('request.jwt.claim.sub', true), '')
  )
)::text;

-- statement

-- What a request keeps of its files: those of `asked` whose rows are in `seen`, once each, in the order asked.
CREATE FUNCTION :"schema".file_download_snapshot(asked uuid[], seen jsonb[]) RETURNS jsonb
LANGUAGE sql
IMMUTABLE
RETURN (
  SELECT coalesce(
    jsonb_agg(
      jsonb_build_object(
        'file_id', wanted.id,
        'entity_type', file ->> 'entity_type',
        'bucket', file ->> 's3_bucket',
        'key', file ->> 's3_original_key',
        'name', file ->> 'file_name',
        'type', file ->> 'file_type'
      )
      ORDER BY wanted.place
    ),
    '[]'
  )
  FROM (
    SELECT id, min(place) AS place FROM unnest(asked) WITH ORDINALITY AS a (id, place) GROUP BY id
  ) AS wanted
  JOIN unnest(seen) AS s (file) ON (file ->> 'id')::uuid = wanted.id
);

-- statement

-- A caller may say `id`, `file_ids` and `inline`; the trigger below sees to the rest.
CREATE TABLE :"schema".file_download_requests (
  id uuid PRIMARY KEY DEFAULT :"schema".file_download_request_id(),
  file_ids uuid[], -- what was asked for, on its way in; NULL in every row that is stored
  files jsonb NOT NULL, -- [{file_id, entity_type, bucket, key, name, type}, …]
  inline boolean NOT NULL DEFAULT false,
  requested_by text NOT NULL,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'completed', 'failed')),
  answers jsonb, -- [{"url": …} or {"error": …}, …], one for each of `files`
  expires_at timestamptz,
  error_message text,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- statement

CREATE INDEX idx_download_requests_status ON :"schema".file_download_requests (status, created_at);

-- statement

-- Makes a request of what a caller inserts, with the caller's own rights.
CREATE FUNCTION :"schema".accept_file_download() RETURNS trigger
LANGUAGE plpgsql
AS $$
-- Whatever columns the files may come to have.
#variable_conflict use_variable
DECLARE
  asked CONSTANT pg_catalog.uuid[] := NEW.file_ids;
  seen pg_catalog.jsonb[];
  one pg_catalog.uuid;
BEGIN
  IF asked IS NULL OR pg_catalog.cardinality(asked) OPERATOR(pg_catalog.=) 0 THEN
    RAISE EXCEPTION 'no file is asked for' USING ERRCODE = '22023';
  ELSIF pg_catalog.cardinality(asked) OPERATOR(pg_catalog.>) 1000 THEN
    RAISE EXCEPTION '% files are asked for, 1000 are the most', pg_catalog.cardinality(asked) USING ERRCODE = '22023';
  ELSIF pg_catalog.num_nulls(VARIADIC asked) OPERATOR(pg_catalog.>) 0 THEN
    RAISE EXCEPTION 'a file that is asked for has no id' USING ERRCODE = '22023';
  END IF;

  -- Whoever may not read the table at all is told so, here.
  PERFORM pg_catalog.to_jsonb(file.*) FROM :"schema".files AS file WHERE false;
  BEGIN
    seen := (
      SELECT pg_catalog.array_agg(pg_catalog.to_jsonb(file.*)) FROM :"schema".files AS file
      WHERE file.id OPERATOR(pg_catalog.=) ANY (asked)
    );
  EXCEPTION
    -- A policy that looks into a table which is closed to the caller raises instead of answering no. That is one file's
    -- concern, and not the others'.
    WHEN insufficient_privilege THEN
      FOREACH one IN ARRAY asked LOOP
        BEGIN
          seen := pg_catalog.array_cat(seen, (
            SELECT pg_catalog.array_agg(pg_catalog.to_jsonb(file.*)) FROM :"schema".files AS file
            WHERE file.id OPERATOR(pg_catalog.=) one
          ));
        EXCEPTION
          WHEN insufficient_privilege THEN NULL;
        END;
      END LOOP;
  END;

  NEW.files := :"schema".file_download_snapshot(asked, seen);
  IF pg_catalog.jsonb_array_length(NEW.files) OPERATOR(pg_catalog.=) 0 THEN
    -- PostgREST makes 404 of it. Three ids are enough to find the call.
    RAISE EXCEPTION 'no such file: %', pg_catalog.left(pg_catalog.array_to_string(asked, ', '), 112)
      USING ERRCODE = 'PT404';
  END IF;

  NEW.id := COALESCE(NEW.id, :"schema".file_download_request_id());
  NEW.file_ids := NULL;
  NEW.inline := COALESCE(NEW.inline, false);
  NEW.requested_by := :"schema".file_download_asker();
  NEW.status := 'pending';
  NEW.answers := NULL;
  NEW.expires_at := NULL;
  NEW.error_message := NULL;
  NEW.created_at := pg_catalog.now();
  RETURN NEW;
END
$$;

-- statement

CREATE TRIGGER accept_file_download_trigger BEFORE INSERT ON :"schema".file_download_requests
FOR EACH ROW EXECUTE FUNCTION :"schema".accept_file_download();

-- statement

-- Takes away keys that are another file's: of the folders that are the id of a recorded file, as in
-- `issues/42/<the id>/original.png`, the last must be the file's own. Whoever may record files says which keys they have;
-- without this they could record somebody else's, and ask for it. It sees all files, so it runs with its owner's rights,
-- after the trigger above.
CREATE FUNCTION :"schema".clear_file_download_keys() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  NEW.files := (
    SELECT jsonb_agg(
      CASE
        WHEN (
          SELECT recorded.id
          FROM unnest(string_to_array(kept.file ->> 'key', '/')) WITH ORDINALITY AS part (folder, place)
          JOIN :"schema".files AS recorded
            ON recorded.id = CASE WHEN part.folder ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN part.folder::uuid END
          ORDER BY part.place DESC
          LIMIT 1
        ) <> (kept.file ->> 'file_id')::uuid
        THEN jsonb_set(kept.file, '{key}', 'null')
        ELSE kept.file
      END
      ORDER BY kept.place
    )
    FROM jsonb_array_elements(NEW.files) WITH ORDINALITY AS kept (file, place)
  );
  RETURN NEW;
END
$$;

-- statement

-- Triggers run in the order of their names.
CREATE TRIGGER clear_file_download_keys_trigger BEFORE INSERT ON :"schema".file_download_requests
FOR EACH ROW EXECUTE FUNCTION :"schema".clear_file_download_keys();

-- statement

-- Every new request is a job, which names the request and nothing else: everybody who is logged in may read jobs. The
-- worker is told at commit, as River tells it.
CREATE FUNCTION :"schema".insert_s3_presign_download_job() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO :"schema".river_job (kind, queue, priority, max_attempts, args)
  VALUES ('s3_presign_download', 's3_signer', 1, 25, jsonb_build_object('request_id', NEW.id::text));
  PERFORM pg_notify(:'schema' || '.river_insert', '{"queue":"s3_signer"}');
  RETURN NULL;
END
$$;

-- statement

CREATE TRIGGER insert_s3_presign_download_job_trigger AFTER INSERT ON :"schema".file_download_requests
FOR EACH ROW EXECUTE FUNCTION :"schema".insert_s3_presign_download_job();

-- statement

-- One request for 1 to 1000 files; one named twice counts once, and one that the caller may not see is left out. The id is
-- made before the row, because reading it back would take a right to read the table.
CREATE FUNCTION public.request_download_urls(p_file_ids uuid[], p_inline boolean DEFAULT false) RETURNS uuid
LANGUAGE sql
BEGIN ATOMIC
  WITH request AS MATERIALIZED (
    SELECT :"schema".file_download_request_id() AS id
  ),
  inserted AS (
    INSERT INTO :"schema".file_download_requests (id, file_ids, inline)
    SELECT request.id, p_file_ids, p_inline FROM request
  )
  SELECT request.id FROM request;
END;

-- statement

CREATE FUNCTION public.request_download_url(p_file_id uuid, p_inline boolean DEFAULT false) RETURNS uuid
LANGUAGE sql
RETURN public.request_download_urls(ARRAY[p_file_id], p_inline);

-- statement

-- One row a file, in the order asked. No row: no such request, or somebody else's.
CREATE FUNCTION public.get_download_url(p_request_id uuid)
RETURNS TABLE (status text, url text, file_id uuid, error text, expires_at timestamptz)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT
    CASE WHEN request.status = 'completed' AND answer.url IS NULL THEN 'failed' ELSE request.status END,
    answer.url,
    (item.file ->> 'file_id')::uuid,
    CASE request.status
      WHEN 'failed' THEN coalesce(request.error_message, 'the request failed')
      WHEN 'completed' THEN CASE WHEN answer.url IS NULL THEN coalesce(answer.error, 'there is no URL for this file') END
    END,
    CASE WHEN answer.url IS NOT NULL THEN request.expires_at END
  FROM :"schema".file_download_requests AS request
  CROSS JOIN LATERAL ROWS FROM (
    jsonb_array_elements(request.files),
    jsonb_array_elements(CASE WHEN request.status = 'completed' THEN request.answers END)
  ) WITH ORDINALITY AS item (file, answer, place)
  CROSS JOIN LATERAL (SELECT item.answer ->> 'url', item.answer ->> 'error') AS answer (url, error)
  WHERE request.id = p_request_id
    AND request.requested_by = :"schema".file_download_asker()
    AND item.file IS NOT NULL
  ORDER BY item.place;
END;

-- statement

-- Whoever may read the table reads URLs, so that nobody gets a right here without being named: neither by PostgreSQL's
-- default for functions nor by default privileges that somebody set. A trigger needs no right to its function.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT 'TABLE ' || c.oid::regclass AS object, acl.grantee
    FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) acl
    WHERE c.oid = ':"schema".file_download_requests'::regclass AND acl.grantee <> c.relowner
    UNION
    SELECT 'FUNCTION ' || p.oid::regprocedure, acl.grantee
    FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) acl
    WHERE p.oid IN (
        ':"schema".accept_file_download()'::regprocedure,
        ':"schema".clear_file_download_keys()'::regprocedure,
        ':"schema".insert_s3_presign_download_job()'::regprocedure,
        'public.request_download_url(uuid, boolean)'::regprocedure,
        'public.request_download_urls(uuid[], boolean)'::regprocedure,
        'public.get_download_url(uuid)'::regprocedure
      )
      AND acl.grantee <> p.proowner
  LOOP
    EXECUTE format(
      'REVOKE ALL ON %s FROM %s',
      given.object,
      CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_catalog.pg_get_userbyid(given.grantee)) END
    );
  END LOOP;
END
$$;

-- statement

-- The role of users who are logged in, where there is one.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'authenticated') THEN
    GRANT USAGE ON SCHEMA :"schema" TO authenticated;
    GRANT INSERT (id, file_ids, inline) ON :"schema".file_download_requests TO authenticated;
    GRANT EXECUTE ON FUNCTION
      :"schema".file_download_request_id(),
      :"schema".file_download_asker(),
      :"schema".file_download_snapshot(uuid[], jsonb[]),
      public.request_download_url(uuid, boolean),
      public.request_download_urls(uuid[], boolean),
      public.get_download_url(uuid)
    TO authenticated;
  END IF;
END
$$;

-- statement

-- PostgREST, where there is one, looks for functions again.
NOTIFY pgrst, 'reload schema';
