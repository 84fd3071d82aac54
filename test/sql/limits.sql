-- Limits of what a queue takes: sizes of payloads and headers.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;

CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
END $$;
-- A jsonb string that takes n bytes.
CREATE FUNCTION pg_temp.sized(n integer) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(repeat('x', n - 12)) $$;
CREATE FUNCTION pg_temp.sized_headers(n integer) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('key', repeat('x', n - 19)) $$;
SELECT pg_column_size(pg_temp.sized(100)), pg_column_size(pg_temp.sized_headers(100));

-- payload: what the queue says, whichever way the job comes
SELECT durable_work.create_queue('limits_small', max_payload => '100 bytes');
SELECT inserted FROM durable_work.enqueue('limits_small', pg_temp.sized(100));
SELECT pg_temp.refusal($$SELECT durable_work.enqueue('limits_small', pg_temp.sized(101))$$);
SELECT count(*) FROM durable_work.enqueue_many('limits_small', ARRAY[pg_temp.sized(100), pg_temp.sized(99)]);
SELECT pg_temp.refusal($$SELECT durable_work.enqueue_many('limits_small', ARRAY[pg_temp.sized(100), pg_temp.sized(150)])$$);
SELECT pg_temp.refusal($$INSERT INTO durable_work.inbox (queue, payload) VALUES ('limits_small', pg_temp.sized(100))$$);
SELECT pg_temp.refusal($$INSERT INTO durable_work.inbox (queue, payload) VALUES ('limits_small', pg_temp.sized(101))$$);
COPY durable_work.inbox (queue, payload) FROM stdin;
limits_small	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
\.
-- a key whose payload is too large is not taken
SELECT pg_temp.refusal($$SELECT durable_work.enqueue('limits_small', pg_temp.sized(101), idempotency_key => 'large')$$);
SELECT inserted FROM durable_work.enqueue('limits_small', '1', idempotency_key => 'large');
SELECT count(*) FROM durable_work.inbox WHERE queue = 'limits_small';

-- what is stored compressed or out of line counts as what it is when read
CREATE TEMP TABLE stored (what text, document jsonb);
INSERT INTO stored VALUES ('compressed', pg_temp.sized(5000));
ALTER TABLE stored ALTER document SET STORAGE EXTERNAL;
INSERT INTO stored VALUES ('out of line', pg_temp.sized(5000));
SELECT what, pg_column_size(document) < 1000 AS small_on_disk FROM stored ORDER BY what;
SELECT what, pg_temp.refusal(format($$SELECT durable_work.enqueue('limits_small', document) FROM pg_temp.stored WHERE what = %L$$, what))
FROM stored ORDER BY what;
SELECT durable_work.alter_queue('limits_small', max_payload => '5000 bytes');
SELECT what, pg_temp.refusal(format($$SELECT durable_work.enqueue('limits_small', document) FROM pg_temp.stored WHERE what = %L$$, what))
FROM stored ORDER BY what;

-- headers: what the setting says
SHOW durable_work.max_headers;
SELECT pg_temp.refusal($$SELECT durable_work.enqueue('limits_small', '1', headers => pg_temp.sized_headers(65536))$$);
SELECT pg_temp.refusal($$SELECT durable_work.enqueue('limits_small', '1', headers => pg_temp.sized_headers(65537))$$);
SELECT pg_temp.refusal($$SELECT durable_work.enqueue_many('limits_small', '{1}', headers => ARRAY[pg_temp.sized_headers(65537)])$$);
SELECT pg_temp.refusal($$INSERT INTO durable_work.inbox (queue, payload, headers) VALUES ('limits_small', '1', pg_temp.sized_headers(65537))$$);
SELECT pg_temp.refusal($$SET durable_work.max_headers = '1 MB'$$);
ALTER SYSTEM SET durable_work.max_headers = 0;
ALTER SYSTEM SET durable_work.max_headers = '65 MB';

SELECT durable_work.drop_queue('limits_small', force => true);
