-- on_duplicate => 'replace': the new job in the place of the one that waits; with a delay a debounce.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;
-- Enqueues under key k and says whose job it is.
CREATE TEMP TABLE known (place serial, id bigint);
CREATE FUNCTION pg_temp.put(payload jsonb, mode text DEFAULT 'pending', delay interval DEFAULT NULL, priority int DEFAULT 4, key text DEFAULT 'k') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    made record;
    found int;
BEGIN
    SELECT * INTO made FROM durable_work.enqueue('replace', payload, idempotency_key => key, unique_while => mode, on_duplicate => 'replace', delay => delay, priority => priority);
    SELECT place INTO found FROM pg_temp.known WHERE id = made.job_id;
    IF found IS NULL THEN
        INSERT INTO pg_temp.known (id) VALUES (made.job_id) RETURNING place INTO found;
    END IF;
    RETURN format('%s %s', found, CASE WHEN made.inserted THEN 'new' ELSE 'replaced' END);
END $$;
CREATE FUNCTION pg_temp.jobs() RETURNS TABLE (place int, payload jsonb, status text, priority int, attempts int, due text, key text) LANGUAGE sql AS $$
    SELECT known.place, i.payload, status, priority, attempts, CASE WHEN available_at > clock_timestamp() THEN 'later' ELSE 'now' END, i.idempotency_key
    FROM durable_work.inbox i JOIN pg_temp.known ON known.id = i.id WHERE queue = 'replace' ORDER BY i.id $$;
CREATE FUNCTION pg_temp.take() RETURNS TABLE (place int, job bigint, token bigint, payload jsonb, attempt int) LANGUAGE sql AS
$$ SELECT known.place, c.job_id, c.lease_token, c.payload, c.attempt FROM durable_work.claim('replace', 'tester', 1) c JOIN pg_temp.known ON id = c.job_id $$;
SELECT durable_work.create_queue('replace', backoff => 'fixed', backoff_base => '0', jitter => 0, max_length => 5);

-- a debounce: each call puts off the one job that there is
SELECT pg_temp.put('1', delay => '1 h'), pg_temp.put('2', delay => '2 h');
SELECT pg_temp.put('3', delay => '1 h', priority => 1);
SELECT * FROM pg_temp.jobs();
SELECT (SELECT count(*) FROM pg_temp.take()) AS taken;
SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'replace';
-- at once: handed out with the last payload
SELECT pg_temp.put('4');
SELECT place, job, token, payload, attempt FROM pg_temp.take() \gset
SELECT :place AS place, :'payload' AS payload, :attempt AS attempt;
-- being worked on: the next one
SELECT pg_temp.put('5'), pg_temp.put('6');
SELECT durable_work.complete(:job, :token);
SELECT * FROM pg_temp.jobs();
SELECT place, job, token, payload, attempt FROM pg_temp.take() \gset
SELECT :place AS place, :'payload' AS payload;
-- active, window: as long as the key is in use a job that does not wait cannot be replaced
SELECT helper.refusal($$SELECT pg_temp.put('7', 'active')$$);
SELECT helper.refusal($$SELECT pg_temp.put('7', 'window')$$);
SELECT durable_work.complete(:job, :token);
SELECT helper.refusal($$SELECT pg_temp.put('7', 'window')$$);
SELECT pg_temp.put('7', 'active'), pg_temp.put('8', 'window'), pg_temp.put('9', 'active');
-- attempts begin anew
SELECT place, job, token, payload, attempt FROM pg_temp.take() \gset
SELECT durable_work.fail(:job, :token, '"no"', retry_in => '1 h');
SELECT pg_temp.put('10');
SELECT place, job, token, payload, attempt FROM pg_temp.take() \gset
SELECT :place AS place, :'payload' AS payload, :attempt AS attempt;
SELECT durable_work.complete(:job, :token);
SELECT event, attempt, detail FROM durable_work.history(:job);
SELECT attempt, outcome FROM durable_work.attempts WHERE job_id = :job ORDER BY at, attempt;

-- everything is the new job's
SELECT pg_temp.put('11', delay => '1 h');
SELECT job_id AS job FROM durable_work.enqueue('replace', '12', partition_key => 'p', idempotency_key => 'k', priority => 7, delay => '2 h', max_attempts => 2,
    headers => '{"h": 1}', expires_at => '2100-01-01', unique_while => 'pending', on_duplicate => 'replace') \gset
SELECT payload, partition_key, partition_bucket = durable_work.bucket('p') AS bucket, priority, max_attempts, headers, expires_at = '2100-01-01' AS expires, created_at < available_at - interval '119 min' AS due FROM durable_work.inbox WHERE id = :job;
SELECT job_id = :job AS same FROM durable_work.enqueue('replace', '13', idempotency_key => 'k', unique_while => 'pending', on_duplicate => 'replace');
SELECT payload, partition_key, priority, max_attempts, headers, expires_at FROM durable_work.inbox WHERE id = :job;
SELECT payload, partition_key, headers FROM durable_work.claim('replace', 'tester');
SELECT durable_work.cancel(:job);
-- the key compares with the payload that was enqueued last
SELECT pg_temp.put('14'), pg_temp.put('15');
SELECT inserted FROM durable_work.enqueue('replace', '15', idempotency_key => 'k');
SELECT helper.refusal($$SELECT durable_work.enqueue('replace', '14', idempotency_key => 'k')$$);

-- several times in one transaction, with savepoints
BEGIN;
SELECT pg_temp.put('20', delay => '1 h'), pg_temp.put('21', delay => '1 h');
SELECT pg_temp.put('30', key => 'l'), pg_temp.put('31', key => 'l', delay => '1 h'), pg_temp.put('32', key => 'l');
SAVEPOINT s;
SELECT pg_temp.put('22'), pg_temp.put('33', key => 'l', delay => '1 h'), pg_temp.put('40', key => 'm');
SELECT * FROM pg_temp.jobs() WHERE status = 'pending';
ROLLBACK TO s;
SELECT pg_temp.put('40', key => 'm', delay => '1 h'), pg_temp.put('41', key => 'm');
COMMIT;
SELECT * FROM pg_temp.jobs() WHERE status = 'pending';
CREATE TEMP TABLE taken (payload jsonb);
CREATE FUNCTION pg_temp.take_into() RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO taken SELECT payload FROM pg_temp.take();
    SELECT count(*) FROM taken $$;
CALL helper.until('pg_temp.take_into() = 2');
SELECT payload FROM taken ORDER BY payload;
SELECT pg_temp.take_into();
-- a held back job can be replaced by the transaction that holds it, and it is not lost when that rolls back
BEGIN;
SELECT inserted FROM durable_work.enqueue('replace', '21', idempotency_key => 'k', unique_while => 'pending');
SELECT pg_temp.put('23');
ROLLBACK;
SELECT * FROM pg_temp.jobs() WHERE status = 'pending';
-- a replacement takes no room in a full queue, a new job does
SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'replace';
SELECT inserted FROM durable_work.enqueue_many('replace', '{1,2}');
SELECT pg_temp.put('24');
SELECT split_part(helper.refusal($$SELECT pg_temp.put('1', key => 'new')$$), ' | ', 1) AS refused;
SELECT split_part(helper.refusal($$SELECT durable_work.enqueue('replace', '1', unique_while => 'pending', on_duplicate => 'replace')$$), ' | ', 2) AS refused;
SELECT durable_work.drop_queue('replace', force => true);
