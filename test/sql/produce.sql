-- What producers may do, and what is refused. Ids and times vary and are not shown.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;

CREATE FUNCTION pg_temp.refused_enqueue(arguments text) RETURNS text LANGUAGE sql AS
$$ SELECT helper.refusal('SELECT durable_work.enqueue(' || arguments || ')') $$;
CREATE FUNCTION pg_temp.refused_many(arguments text) RETURNS text LANGUAGE sql AS
$$ SELECT helper.refusal('SELECT durable_work.enqueue_many(' || arguments || ')') $$;
CREATE FUNCTION pg_temp.refused_row(columns text, vals text) RETURNS text LANGUAGE sql AS
$$ SELECT helper.refusal('INSERT INTO durable_work.inbox (' || columns || ') VALUES (' || vals || ')') $$;

SELECT durable_work.create_queue('produce', max_attempts => 7, dedupe_window => '1 h');
SELECT durable_work.create_queue('produce_other');

-- one job with the defaults
SELECT job_id AS first_id, inserted FROM durable_work.enqueue('produce', '{"n": 1}') \gset
SELECT :'inserted' AS inserted, :first_id > 0 AS has_id;
SELECT queue, partition_key, priority, payload, headers, idempotency_key, status, available_at <= clock_timestamp() AS due,
       created_at <= clock_timestamp() AS created, attempts, max_attempts
FROM durable_work.inbox WHERE id = :first_id;
-- what is absent, or the queue's, takes no room in the row
SELECT max_attempts IS NULL AS attempts_null, available_at IS NULL AS available_null, expires_at IS NULL AS expires_null
FROM durable_work.job_0 WHERE id = :first_id;

-- all arguments by name, with plain literals; ids rise
SELECT job_id AS full_id FROM durable_work.enqueue(queue => 'produce', payload => '[1, "two", null]', partition_key => 'customer:7',
    idempotency_key => 'full', priority => 0, available_at => '2001-02-03 04:05:06Z', max_attempts => 3, headers => '{"trace": "a"}') \gset
SELECT :full_id > :first_id AS rises;
SELECT partition_key, partition_bucket = durable_work.bucket('customer:7') AS bucket_of_key, priority, payload, headers, idempotency_key,
       status, max_attempts
FROM durable_work.inbox WHERE id = :full_id;
SELECT available_at IS NULL AS past_means_at_once FROM durable_work.job_0 WHERE id = :full_id;
SELECT inserted FROM durable_work.enqueue(queue => 'produce', payload => 'null', delay => '5 min', partition_key => '');
SELECT partition_key = '' AS empty_key, payload, available_at - created_at BETWEEN '4 min 59 s' AND '5 min' AS delayed
FROM durable_work.inbox WHERE queue = 'produce' AND partition_key = '';

-- due beyond the timer horizon: parked
SELECT job_id AS parked_id FROM durable_work.enqueue('produce', '"parked"', delay => '2 h', headers => '{}') \gset
SELECT payload, available_at - enqueued_at > '1 h' AS later, headers FROM durable_work.parked WHERE id = :parked_id;
SELECT queue, status, payload FROM durable_work.inbox WHERE id = :parked_id;

-- refused arguments of enqueue; nothing is stored
SELECT count(*) AS jobs_before FROM durable_work.inbox WHERE queue LIKE 'produce%' \gset
SELECT pg_temp.refused_enqueue(arguments) FROM (VALUES
    ($$NULL, '1'$$), ($$'', '1'$$), ($$'produce_missing', '1'$$), ($$repeat('q', 200), '1'$$),
    ($$'produce', NULL$$),
    ($$'produce', '1', partition_key => repeat('k', 1025)$$),
    ($$'produce', '1', idempotency_key => ''$$), ($$'produce', '1', idempotency_key => repeat('k', 513)$$),
    ($$'produce', '1', priority => -1$$), ($$'produce', '1', priority => 10$$), ($$'produce', '1', priority => NULL$$),
    ($$'produce', '1', available_at => 'infinity'$$), ($$'produce', '1', available_at => '-infinity'$$),
    ($$'produce', '1', available_at => now(), delay => '1 s'$$),
    ($$'produce', '1', delay => '-1 s'$$), ($$'produce', '1', delay => '400000 years'$$),
    ($$'produce', '1', max_attempts => 0$$), ($$'produce', '1', max_attempts => 32768$$),
    ($$'produce', '1', headers => '[]'$$), ($$'produce', '1', headers => '"h"'$$), ($$'produce', '1', headers => 'null'$$)
) AS tried (arguments);
SELECT count(*) - :jobs_before AS stored FROM durable_work.inbox WHERE queue LIKE 'produce%';
-- the edges are accepted
SELECT pg_temp.refused_enqueue(arguments) FROM (VALUES
    ($$'produce', '1', partition_key => repeat('k', 1024)$$), ($$'produce', '1', idempotency_key => repeat('k', 512)$$),
    ($$'produce', '1', priority => 9$$), ($$'produce', '1', max_attempts => 32767$$), ($$'produce', '1', delay => '0'$$)
) AS tried (arguments);

-- idempotency keys: the first job, however the payload is written
SELECT job_id AS key_id, inserted FROM durable_work.enqueue('produce', '{"a": 1, "b": 2}', idempotency_key => 'key') \gset
SELECT inserted, job_id = :key_id AS first_job FROM durable_work.enqueue('produce', '{"b":2,   "a":1}', idempotency_key => 'key');
SELECT pg_temp.refused_enqueue($$'produce', '{"a": 1}', idempotency_key => 'key'$$);
SELECT inserted FROM durable_work.enqueue('produce', '{}', idempotency_key => 'empty');
SELECT pg_temp.refused_enqueue($$'produce', '[]', idempotency_key => 'empty'$$);
-- a key belongs to one queue
SELECT inserted FROM durable_work.enqueue('produce_other', '{"a": 1}', idempotency_key => 'key');
-- within one statement
SELECT count(DISTINCT (e).job_id), count(*) FILTER (WHERE (e).inserted)
FROM (SELECT durable_work.enqueue('produce', '1', idempotency_key => 'statement') AS e FROM generate_series(1, 3) OFFSET 0) AS calls;
-- a first use that is rolled back leaves the key free
BEGIN;
SELECT inserted FROM durable_work.enqueue('produce', '1', idempotency_key => 'rolled back');
ROLLBACK;
SELECT inserted FROM durable_work.enqueue('produce', '2', idempotency_key => 'rolled back');
BEGIN;
SAVEPOINT s;
SELECT inserted FROM durable_work.enqueue('produce', '1', idempotency_key => 'savepoint');
ROLLBACK TO s;
SELECT inserted FROM durable_work.enqueue('produce', '2', idempotency_key => 'savepoint');
COMMIT;
-- a key past its window is free for another payload
UPDATE durable_work.idempotency SET expires_at = clock_timestamp() - interval '1 s' WHERE key = 'key';
SELECT inserted, job_id > :key_id AS new_job FROM durable_work.enqueue('produce', '"other"', idempotency_key => 'key');
SELECT inserted FROM durable_work.enqueue('produce', '"other"', idempotency_key => 'key');
-- the window is the queue's
SELECT DISTINCT expires_at - clock_timestamp() BETWEEN '59 min' AND '60 min' AS an_hour FROM durable_work.idempotency WHERE key = 'key'
    AND topic = (SELECT id FROM durable_work.topic WHERE name = 'produce');

-- enqueue_many: rows in order, one for each element
SELECT ordinal, inserted, job_id > lag(job_id) OVER (ORDER BY ordinal) AS rises FROM durable_work.enqueue_many('produce', ARRAY['"m1"', '"m2"', '"m3"']::jsonb[]);
SELECT ordinal, inserted FROM durable_work.enqueue_many(queue => 'produce', payloads => '{"[1]", "[2]"}', partition_keys => '{a, NULL}',
    idempotency_keys => '{m-a, NULL}', priorities => '{0, 9}', available_ats => ARRAY[now() + interval '1 day', NULL], headers => '{NULL, "{\"h\": 1}"}');
SELECT partition_key, idempotency_key, priority, payload, headers, available_at > now() + interval '1 h' AS later FROM durable_work.inbox
WHERE queue = 'produce' AND payload IN ('[1]', '[2]') ORDER BY id;
SELECT count(*) FROM durable_work.enqueue_many('produce', '{}');
-- duplicates: of earlier calls, and among the elements (the first stands for all)
SELECT ordinal, inserted, job_id = first_value(job_id) OVER (ORDER BY ordinal) AS same_as_first
FROM durable_work.enqueue_many('produce', '{1, 1, 2, 1, 3}', idempotency_keys => '{many-b, many-b, many-a, many-b, NULL}');
SELECT ordinal, inserted FROM durable_work.enqueue_many('produce', '{4, 1, 2}', idempotency_keys => '{many-c, many-b, many-a}');
UPDATE durable_work.idempotency SET expires_at = clock_timestamp() WHERE key IN ('many-a', 'many-c');
SELECT ordinal, inserted FROM durable_work.enqueue_many('produce', '{40, 1, 20}', idempotency_keys => '{many-c, many-b, many-a}');
SELECT pg_temp.refused_many($$'produce', '{1, 2}', idempotency_keys => '{clash, clash}'$$);
SELECT pg_temp.refused_many($$'produce', '{1, 9}', idempotency_keys => '{fresh, many-b}'$$);
SELECT inserted AS nothing_of_the_refused_call_is_left FROM durable_work.enqueue('produce', '"x"', idempotency_key => 'fresh');

SELECT count(*) AS jobs_before FROM durable_work.inbox WHERE queue LIKE 'produce%' \gset
SELECT pg_temp.refused_many(arguments) FROM (VALUES
    ($$NULL, '{1}'$$), ($$'produce_missing', '{1}'$$), ($$'produce', NULL$$), ($$'produce', '{1, NULL}'$$),
    ($$'produce', '{{1}, {2}}'$$), ($$'produce', array_fill('1'::jsonb, ARRAY[100001])$$),
    ($$'produce', '{1, 2}', partition_keys => '{a}'$$), ($$'produce', '{1}', idempotency_keys => '{a, b}'$$),
    ($$'produce', '{1}', priorities => '{}'$$), ($$'produce', '{1}', available_ats => ARRAY[now(), now()]$$),
    ($$'produce', '{1}', headers => '{}'$$),
    ($$'produce', '{1, 2}', partition_keys => ARRAY['a', repeat('k', 1025)]$$),
    ($$'produce', '{1, 2}', idempotency_keys => '{a, ""}'$$),
    ($$'produce', '{1, 2}', priorities => '{4, 10}'$$), ($$'produce', '{1, 2}', priorities => '{4, NULL}'$$),
    ($$'produce', '{1, 2}', available_ats => '{now, infinity}'$$),
    ($$'produce', '{1, 2}', headers => '{"{}", "[]"}'$$)
) AS tried (arguments);
SELECT count(*) - :jobs_before AS stored FROM durable_work.inbox WHERE queue LIKE 'produce%';

-- large batches and large payloads, stored out of line
SELECT count(*), count(DISTINCT job_id), bool_and(inserted), max(job_id) - min(job_id) AS spread
FROM durable_work.enqueue_many('produce_other', array_fill('{"large": "batch"}'::jsonb, ARRAY[25000]), priorities => array_fill(9, ARRAY[25000]));
SELECT count(*) FROM durable_work.job_0 WHERE payload = '{"large": "batch"}';
SELECT durable_work.create_queue('produce_large');
SELECT string_agg(md5(n::text), '') AS noise FROM generate_series(1, 5000) AS n \gset
SELECT inserted FROM durable_work.enqueue('produce_large', to_jsonb(:'noise'::text));
SELECT count(*) FROM durable_work.enqueue_many('produce_large', ARRAY[to_jsonb(:'noise'::text || '2'), '1', to_jsonb(repeat('z', 200000))]);
SELECT left(payload #>> '{}', 1) AS starts, length(payload #>> '{}'), payload #>> '{}' IN (:'noise', :'noise' || '2', repeat('z', 200000)) AS whole
FROM durable_work.claim('produce_large', 'w', 10);

-- jobs come and go with the transaction
SELECT durable_work.create_queue('produce_commit');
BEGIN;
SELECT inserted FROM durable_work.enqueue('produce_commit', '"kept 1"');
SAVEPOINT one;
SELECT inserted FROM durable_work.enqueue('produce_commit', '"lost"');
SELECT count(*) FROM durable_work.enqueue_many('produce_commit', '{"\"lost\"", "\"lost\""}');
ROLLBACK TO one;
SAVEPOINT two;
SELECT count(*) FROM durable_work.enqueue_many('produce_commit', '{"\"kept 2\"", "\"kept 3\""}', priorities => '{9, 0}');
RELEASE two;
SELECT count(*) AS before_commit FROM durable_work.claim('produce_commit', 'w');
COMMIT;
BEGIN;
SELECT inserted FROM durable_work.enqueue('produce_commit', '"lost"');
ROLLBACK;
SELECT payload, priority FROM durable_work.claim('produce_commit', 'w');

-- the view inbox
SELECT durable_work.create_queue('produce_inbox', max_attempts => 5);
INSERT INTO durable_work.inbox (partition_key, payload, idempotency_key) VALUES ('p', '{"q": "default"}', 'produce-inbox-default');
SELECT queue, status FROM durable_work.inbox WHERE idempotency_key = 'produce-inbox-default';
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE idempotency_key = 'produce-inbox-default';
INSERT INTO durable_work.inbox (queue, partition_key, payload, idempotency_key, priority, headers, max_attempts)
VALUES ('produce_inbox', 'p', '1', 'a', 2, '{"h": true}', 9), ('produce_inbox', NULL, '2', NULL, NULL, NULL, NULL)
RETURNING id > 0 AS id, queue, partition_key, partition_bucket IS NOT NULL AS bucket, priority, payload, headers, idempotency_key, status,
    available_at = created_at AS due, expires_at, completed_at, result, claimed_by, lease_expires_at, attempts, max_attempts, last_error;
-- what RETURNING says is what the view says
BEGIN;
CREATE TEMP TABLE returned (id bigint, partition_bucket int, priority int, status text, available_at timestamptz, created_at timestamptz,
    attempts int, max_attempts int) ON COMMIT DROP;
WITH new AS (INSERT INTO durable_work.inbox (queue, payload, available_at) VALUES ('produce_inbox', '3', now() + interval '10 min'),
    ('produce_inbox', '4', NULL) RETURNING *)
INSERT INTO returned SELECT id, partition_bucket, priority, status, available_at, created_at, attempts, max_attempts FROM new;
SELECT count(*) FROM (SELECT * FROM returned INTERSECT SELECT id, partition_bucket, priority, status, available_at, created_at, attempts,
    max_attempts FROM durable_work.inbox WHERE queue = 'produce_inbox') AS same;
COMMIT;
-- a taken key inserts no row and aborts nothing
INSERT INTO durable_work.inbox (queue, payload, idempotency_key) VALUES ('produce_inbox', '1', 'a');
\echo :ROW_COUNT
INSERT INTO durable_work.inbox (queue, payload, idempotency_key) VALUES ('produce_inbox', '1', 'a'), ('produce_inbox', '1', 'b') RETURNING idempotency_key;
COPY durable_work.inbox (queue, partition_key, payload, idempotency_key) FROM stdin;
produce_inbox	c	{"copied": 1}	a-copied
produce_inbox	\N	{"copied": 1}	a-copied
produce_inbox	d	{"copied": 2}	\N
\.
SELECT payload, partition_key FROM durable_work.inbox WHERE queue = 'produce_inbox' AND payload ? 'copied' ORDER BY id;
INSERT INTO durable_work.inbox DEFAULT VALUES;
SELECT pg_temp.refused_row(columns, vals) FROM (VALUES
    ('queue, payload', $$'produce_missing', '1'$$), ('queue, payload', $$'', '1'$$), ('queue, payload', $$'produce_inbox', NULL$$),
    ('queue, payload, idempotency_key', $$'produce_inbox', '9', 'a'$$), ('payload, idempotency_key', $$'9', ''$$),
    ('payload, partition_key', $$'9', repeat('k', 1025)$$), ('payload, priority', $$'9', 10$$), ('payload, max_attempts', $$'9', 0$$),
    ('payload, headers', $$'9', '7'$$), ('payload, available_at', $$'9', 'infinity'$$),
    ('payload, id', $$'9', 7$$), ('payload, status', $$'9', 'completed'$$), ('payload, expires_at', $$'9', now()$$), ('payload, expires_at', $$'9', 'infinity'$$),
    ('payload, available_at, expires_at', $$'9', '2100-01-02', '2100-01-01'$$)
) AS tried (columns, vals);
-- every computed column is refused by its name
SELECT pg_temp.refused_row('payload, ' || attname, format('%L, %L::%s', '1',
    CASE WHEN atttypid = 'jsonb'::regtype THEN '{}' WHEN atttypid = 'timestamptz'::regtype THEN '2030-01-01' ELSE '1' END,
    format_type(atttypid, atttypmod))) LIKE '22023 | column "' || attname || '" of inbox cannot be inserted%' AS refused, attname
FROM pg_attribute WHERE attrelid = 'durable_work.inbox'::regclass AND attnum > 0
    AND attname NOT IN ('queue', 'partition_key', 'priority', 'payload', 'headers', 'idempotency_key', 'available_at', 'expires_at', 'max_attempts')
ORDER BY attnum;

-- read-only transactions, and roles without rights
BEGIN READ ONLY;
SELECT pg_temp.refused_enqueue($$'produce', '1'$$);
SELECT pg_temp.refused_many($$'produce', '{1}'$$);
SELECT pg_temp.refused_row('payload', $$'1'$$);
COMMIT;
CREATE ROLE produce_nobody;
SET ROLE produce_nobody;
SELECT durable_work.enqueue('produce', '1');
INSERT INTO durable_work.inbox (payload) VALUES ('1');
RESET ROLE;
-- the right on the queue is enough: its holder needs none on the tables
SELECT durable_work.grant_queue('produce', 'produce_nobody', 'enqueue');
SET ROLE produce_nobody;
SELECT inserted FROM durable_work.enqueue('produce', '1', idempotency_key => 'nobody');
INSERT INTO durable_work.inbox (queue, payload, idempotency_key) VALUES ('produce', '1', 'nobody too');
SELECT count(*) FROM durable_work.idempotency;
RESET ROLE;
DROP OWNED BY produce_nobody;
DROP ROLE produce_nobody;

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'produce%';
