-- One job a key: unique_while and on_duplicate.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;

-- Enqueues under a key and says whose job it is: the place of its id among those of the key so far.
CREATE TEMP TABLE known (place serial, id bigint);
CREATE FUNCTION pg_temp.offer(key text, unique_while text, payload jsonb DEFAULT '1', on_duplicate text DEFAULT 'return')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    made record;
    found int;
BEGIN
    SELECT * INTO made FROM durable_work.enqueue('unique', payload, idempotency_key => key, unique_while => unique_while, on_duplicate => on_duplicate);
    SELECT place INTO found FROM pg_temp.known WHERE id = made.job_id;
    IF found IS NULL THEN
        INSERT INTO pg_temp.known (id) VALUES (made.job_id) RETURNING place INTO found;
    END IF;
    RETURN format('%s %s', found, CASE WHEN made.inserted THEN 'new' ELSE 'known' END);
END $$;
CREATE FUNCTION pg_temp.take() RETURNS TABLE (place int, job bigint, token bigint) LANGUAGE sql AS
$$ SELECT known.place, c.job_id, c.lease_token FROM durable_work.claim('unique', 'tester', 1) c JOIN pg_temp.known ON id = c.job_id $$;
SELECT durable_work.create_queue('unique', backoff => 'fixed', backoff_base => '0', jitter => 0);

-- pending: until somebody works on it
SELECT pg_temp.offer('p', 'pending'), pg_temp.offer('p', 'pending');
SELECT pg_temp.offer('p', 'pending');
SELECT helper.refusal($$SELECT pg_temp.offer('p', 'pending', '2')$$);
SELECT helper.refusal($$SELECT pg_temp.offer('p', 'pending', '1', 'error')$$);
SELECT place, job, token FROM pg_temp.take() \gset
SELECT :place AS claimed, pg_temp.offer('p', 'pending', '2') AS next;
SELECT pg_temp.offer('p', 'pending', '2');
-- back among the waiting, the first has lost the key
SELECT durable_work.release(:job, :token), pg_temp.offer('p', 'pending', '2');
SELECT place, job, token FROM pg_temp.take() \gset
SELECT :place AS claimed, durable_work.complete(:job, :token);
SELECT place, job, token FROM pg_temp.take() \gset
SELECT :place AS claimed, durable_work.complete(:job, :token);
SELECT pg_temp.offer('p', 'pending', '3');
SELECT durable_work.cancel(max(id)) FROM known;
SELECT pg_temp.offer('p', 'pending', '4');

-- while the transaction is open nobody claims the job that it found
BEGIN;
SELECT pg_temp.offer('p', 'pending', '4');
SELECT count(*) FROM pg_temp.take();
SELECT ready, delayed, unfinished FROM durable_work.queue_stats WHERE queue = 'unique';
COMMIT;
BEGIN;
SAVEPOINT a;
SELECT pg_temp.offer('p', 'pending', '4');
ROLLBACK TO a;
SELECT place, job, token FROM pg_temp.take() \gset
SELECT durable_work.complete(:job, :token);
-- in one transaction: completed here, so the key is free
SELECT pg_temp.offer('p', 'pending', '5');
COMMIT;
SELECT place, job, token FROM pg_temp.take() \gset
SELECT :place AS claimed, durable_work.complete(:job, :token);

-- active: until it is finished
SELECT pg_temp.offer('a', 'active');
SELECT place, job, token FROM pg_temp.take() \gset
SELECT :place AS claimed, pg_temp.offer('a', 'active');
SELECT helper.refusal($$SELECT pg_temp.offer('a', 'active', '2')$$);
SELECT durable_work.fail(:job, :token, retry_in => '1 h'), pg_temp.offer('a', 'active');
SELECT durable_work.cancel(:job);
SELECT pg_temp.offer('a', 'active', '2');
SELECT place, job, token FROM pg_temp.take() \gset
SELECT durable_work.reject(:job, :token, 'no');
SELECT pg_temp.offer('a', 'active', '3');
SELECT place, job, token FROM pg_temp.take() \gset
-- a worker that completes it and enqueues the next round
BEGIN;
SELECT durable_work.complete(:job, :token);
SELECT pg_temp.offer('a', 'active', '4');
SELECT pg_temp.offer('a', 'active', '4');
COMMIT;
SELECT place, job, token FROM pg_temp.take() \gset
SELECT :place AS claimed, durable_work.complete(:job, :token) AS completed, pg_temp.offer('a', 'active', '5') AS in_one_statement;
SELECT place, job, token FROM pg_temp.take() \gset
SELECT durable_work.cancel(:job);
SELECT pg_temp.offer('a', 'active', '6');
SELECT place, job, token FROM pg_temp.take() \gset
SELECT durable_work.complete(:job, :token);

-- a long sleeper, which is not in memory
SELECT inserted, job_id AS sleeper FROM durable_work.enqueue('unique', '1', delay => '2 h', idempotency_key => 's', unique_while => 'pending') \gset
SELECT :'inserted' AS first, job_id = :sleeper AS same, inserted FROM durable_work.enqueue('unique', '1', idempotency_key => 's', unique_while => 'pending');
SELECT job_id = :sleeper AS same, inserted FROM durable_work.enqueue('unique', '1', idempotency_key => 's', unique_while => 'active');
SELECT status FROM durable_work.explain_job(:sleeper);
SELECT durable_work.cancel(:sleeper);
SELECT job_id = :sleeper AS same, inserted FROM durable_work.enqueue('unique', '2', idempotency_key => 's', unique_while => 'pending');
SELECT job_id = :sleeper AS same, inserted FROM durable_work.enqueue('unique', '2', idempotency_key => 's');

-- window: whatever became of it; the key's time decides, and for the others the job's state
SELECT pg_temp.offer('w', 'window', '1', 'error');
SELECT helper.refusal($$SELECT pg_temp.offer('w', 'window', '1', 'error')$$);
UPDATE durable_work.idempotency SET expires_at = now() WHERE key = 'w';
SELECT pg_temp.offer('w', 'pending');
SELECT pg_temp.offer('w', 'active');
SELECT pg_temp.offer('w', 'window', '2', 'error');

-- a key rolled back is free, with its job
BEGIN;
SELECT pg_temp.offer('r', 'pending');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT pg_temp.offer('r', 'pending');
ROLLBACK TO a;
SELECT pg_temp.offer('r', 'pending');
COMMIT;

-- a trigger that enqueues one job a transaction, however many rows change
CREATE TEMP TABLE source (n int);
CREATE FUNCTION pg_temp.enqueue_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM durable_work.enqueue('unique', '"refresh"', idempotency_key => 'refresh', unique_while => 'pending');
    RETURN NULL;
END $$;
CREATE TRIGGER enqueue_once AFTER INSERT ON source FOR EACH ROW EXECUTE FUNCTION pg_temp.enqueue_once();
INSERT INTO source SELECT generate_series(1, 3);
INSERT INTO source VALUES (4);
SELECT count(*) FROM durable_work.inbox WHERE queue = 'unique' AND payload = '"refresh"';

-- a full queue: a duplicate takes no room, a job that takes a key over does
SELECT durable_work.alter_queue('unique', max_length => 1);
SELECT pg_temp.offer('r', 'pending');
SELECT helper.refusal($$SELECT pg_temp.offer('new', 'pending')$$) ~ '^DW005' AS full;

-- arguments
SELECT helper.refusal($$SELECT durable_work.enqueue('unique', '1', unique_while => 'pending')$$);
SELECT helper.refusal($$SELECT durable_work.enqueue('unique', '1', on_duplicate => 'error')$$);
SELECT helper.refusal($$SELECT durable_work.enqueue('unique', '1', idempotency_key => 'k', unique_while => 'ever')$$);
SELECT helper.refusal($$SELECT durable_work.enqueue('unique', '1', idempotency_key => 'k', unique_while => NULL)$$);
SELECT helper.refusal($$SELECT durable_work.enqueue('unique', '1', idempotency_key => 'k', on_duplicate => '')$$);
SELECT helper.refusal($$SELECT durable_work.enqueue('unique', '1', idempotency_key => 'k', on_duplicate => NULL)$$);

SELECT durable_work.drop_queue('unique', force => true);
