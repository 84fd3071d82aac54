-- The guarantees, as far as one session can see them. Claims are transactions of their own, so this file commits.
SELECT plan(36);

CREATE TABLE held (job_id bigint, token bigint, n text, attempt int);
CREATE PROCEDURE take(from_queue text, jobs int DEFAULT 1, held_for interval DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    more int;
BEGIN
    FOR i IN 1 .. 10000 LOOP
        INSERT INTO held SELECT job_id, lease_token, payload->>'n', attempt FROM durable_work.claim(from_queue, 'w', jobs - got, lease => held_for);
        GET DIAGNOSTICS more = ROW_COUNT;
        COMMIT;
        got := got + more;
        EXIT WHEN got >= jobs;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
CREATE FUNCTION status_of(wanted text) RETURNS text LANGUAGE sql AS $$ SELECT status FROM durable_work.inbox WHERE payload->>'n' = wanted $$;

SELECT lives_ok($$SELECT durable_work.create_queue('g', lease => '1 h', max_attempts => 2, backoff => 'fixed', backoff_base => '0', jitter => 0)$$, 'a queue');

-- No loss, no phantom.
SELECT lives_ok($$SELECT durable_work.enqueue('g', '{"n": "a"}')$$, 'a job is enqueued');
SELECT is(status_of('a'), 'pending', 'it is pending');
DO $$ BEGIN PERFORM durable_work.enqueue('g', '{"n": "phantom"}'); RAISE EXCEPTION 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
SELECT is(status_of('phantom'), NULL, 'one that was rolled back never existed');
CALL take('g');
SELECT is((SELECT string_agg(n || attempt, ',') FROM held), 'a1', 'the job is handed out, with its attempt');
SELECT is(status_of('a'), 'processing', 'it is processing');

-- Exclusivity.
SELECT is_empty($$SELECT * FROM durable_work.claim('g', 'other')$$, 'nobody else gets it');
SELECT is((SELECT count(*) FROM durable_work.leases WHERE queue = 'g'), 1::bigint, 'it has one lease');

-- Fencing.
SELECT throws_ok($$SELECT durable_work.complete(job_id, token - 1) FROM held$$, 'DW001', NULL, 'another token is refused');
SELECT throws_ok($$SELECT durable_work.complete(job_id + 1000, token) FROM held$$, 'DW001', NULL, 'the token of another job is refused');
SELECT is((SELECT durable_work.complete(job_id, token, '{"ok": true}') FROM held), true, 'the current one is accepted');
SELECT is((SELECT durable_work.complete(job_id, token) FROM held), false, 'and a repetition is told so');
SELECT throws_ok($$SELECT durable_work.fail(job_id, token) FROM held$$, 'DW001', NULL, 'what is completed cannot fail');
SELECT throws_ok($$SELECT durable_work.cancel(job_id) FROM held$$, 'DW006', NULL, 'or be cancelled');
SELECT is(status_of('a'), 'completed', 'it stays completed');
SELECT is((SELECT result FROM durable_work.inbox WHERE payload->>'n' = 'a'), '{"ok": true}', 'with its result');
SELECT is_empty($$SELECT * FROM durable_work.claim('g', 'other')$$, 'and is not handed out again');

-- Expiry counts the attempt; the token is void although nobody has claimed again; attempts are used up.
TRUNCATE held;
SELECT lives_ok($$SELECT durable_work.enqueue('g', '{"n": "b"}')$$, 'another job');
CALL take('g', 1, '20 ms');
CALL take('g', 1, '20 ms');
SELECT is((SELECT string_agg(attempt::text, ',' ORDER BY token) FROM held), '1,2', 'a lease that runs out is handed out again');
SELECT is((SELECT min(token) < max(token) FROM held), true, 'with a higher token');
DO $$ BEGIN FOR i IN 1 .. 10000 LOOP EXIT WHEN status_of('b') = 'dead_letter'; PERFORM pg_sleep(0.005); END LOOP; END $$;
SELECT is(status_of('b'), 'dead_letter', 'after the last attempt it is a dead letter');
SELECT throws_ok($$SELECT durable_work.complete(job_id, max(token)) FROM held GROUP BY job_id$$, 'DW001', NULL, 'its last token is void');
SELECT is((SELECT attempts FROM durable_work.dead_letters WHERE payload->>'n' = 'b'), 2, 'the dead letter knows the attempts');
SELECT is((SELECT count(*) FROM durable_work.attempts a JOIN durable_work.inbox i ON i.id = a.job_id WHERE i.payload->>'n' = 'b'), 2::bigint, 'and each is recorded');

-- Atomicity: the caller's writes and the outcome are one.
TRUNCATE held;
CREATE TABLE effect (n text);
SELECT lives_ok($$SELECT durable_work.enqueue('g', '{"n": "c"}')$$, 'a third job');
CALL take('g');
DO $$ BEGIN INSERT INTO effect SELECT n FROM held WHERE durable_work.complete(job_id, token); RAISE EXCEPTION 'undone'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
SELECT is((SELECT count(*) FROM effect), 0::bigint, 'the effect was undone');
SELECT is(status_of('c'), 'processing', 'and so was the completion');
INSERT INTO effect SELECT n FROM held WHERE durable_work.complete(job_id, token);
SELECT is((SELECT string_agg(n, ',') FROM effect) || ' ' || status_of('c'), 'c completed', 'both are done');

-- Idempotency keys outlive the job.
SELECT is((SELECT inserted FROM durable_work.enqueue('g', '{"n": "d"}', idempotency_key => 'k')), true, 'a job with a key');
TRUNCATE held;
CALL take('g');
SELECT is((SELECT durable_work.complete(job_id, token) FROM held), true, 'is completed');
SELECT results_eq($$SELECT job_id, inserted FROM durable_work.enqueue('g', '{"n": "d"}', idempotency_key => 'k')$$, 'SELECT job_id, false FROM held',
    'the same again is the same job');
SELECT throws_ok($$SELECT durable_work.enqueue('g', '{"n": "e"}', idempotency_key => 'k')$$, 'DW004', NULL, 'another payload under the key is refused');

-- Calls with names and plain literals; nothing needs a cast.
SELECT lives_ok($$SELECT durable_work.create_queue(queue => 'named', lease => '1 h', max_attempts => 3, backoff => 'linear', backoff_base => '1 s', backoff_cap => '1 min', jitter => 0.5, retention => '1 d', dedupe_window => '1 d', strict => true, delivery => 'at_least_once', max_length => 5, overflow => 'reject', dead_letter_queue => 'g', durable_claims => true, max_runtime => '1 h', max_payload => '1 kB');
    SELECT durable_work.alter_queue(queue => 'named', lease => '2 h', max_attempts => 4, backoff => 'fixed', backoff_base => '2 s', backoff_cap => '2 min', jitter => 1, retention => '2 d', dedupe_window => '2 d', strict => false, delivery => 'at_least_once', max_length => 6, overflow => 'drop_oldest', dead_letter_queue => '', durable_claims => false, max_runtime => '2 h', max_payload => '2 kB');
    SELECT durable_work.pause_queue(queue => 'named'); SELECT durable_work.resume_queue(queue => 'named');
    SELECT durable_work.enqueue(queue => 'named', payload => '{}', partition_key => 'p', idempotency_key => 'k', priority => 1, delay => '0', max_attempts => 2, headers => '{}');
    SELECT durable_work.enqueue(queue => 'named', payload => '{}', available_at => '2000-01-01');
    SELECT durable_work.enqueue_many(queue => 'named', payloads => '{1,2}', partition_keys => '{a,b}', idempotency_keys => '{x,y}', priorities => '{1,2}', available_ats => '{now,now}', headers => '{"{}",NULL}');
    SELECT durable_work.claim(queue => 'named', worker => 'w', max_jobs => 1, lease => '1 min', wait => '10 ms', owned_only => false, request_id => 'r', instance => 1);
    SELECT durable_work.claim(queues => '{named}', worker => 'w', max_jobs => 1, lease => '1 min', wait => '10 ms', owned_only => false, request_id => 'r', instance => 1);
    SELECT durable_work.try_complete(job_id => 1000000, lease_token => 1, result => '{}');
    SELECT durable_work.complete_many(job_ids => '{1000000}', lease_tokens => '{1}', results => '{1}');
    SELECT durable_work.complete_and_claim(job_ids => '{1000000}', lease_tokens => '{1}', queue => 'g', worker => 'w', max_jobs => 1, lease => '1 min', instance => 1, results => '{1}');
    SELECT durable_work.complete_and_claim(job_ids => '{1000000}', lease_tokens => '{1}', queues => '{g}', worker => 'w', max_jobs => 1, lease => '1 min', instance => 1, results => '{1}');
    SELECT durable_work.fail_many(job_ids => '{1000000}', lease_tokens => '{1}', errors => '{1}', retry_in => '1 s', retryable => true);
    SELECT durable_work.heartbeat(worker => 'w', lease => '1 h', instance => 1);
    SELECT durable_work.mark_handled(handler => 'h', key => 'k', dedupe_window => '1 h');
    SELECT durable_work.fence(resource => 'r', lease_token => 1);
    SELECT durable_work.bucket(partition_key => 'p', buckets => 10);
    SELECT durable_work.resize_buckets(queue => 'named', buckets => 20);
    SELECT durable_work.register_worker(worker => 'w', queues => '{named}', capacity => 5, vnodes => 100, labels => '{"host": "h"}');
    SELECT durable_work.ring_owner(queue => 'named', partition_key => 'k');
    SELECT durable_work.drain_worker(worker => 'w', deadline => '1 min'); SELECT durable_work.deregister_worker(worker => 'w');
    SELECT durable_work.ring_simulate(workers => '{a,b}', vnodes => 10, buckets => 20); SELECT durable_work.ring_moved(before => '{a}', after => '{b}', vnodes => 10, buckets => 20);
    SELECT durable_work.redrive(queue => 'named', job_ids => '{1}', error_like => '%', since => '2000-01-01', until => 'now', to_queue => 'g', rate_per_second => 1, max_jobs => 1, dry_run => true);
    SELECT durable_work.redrive(queue => 'named', rate_per_second => 0.5);
    SELECT durable_work.drop_queue(queue => 'named', force => true)$$, 'every function takes its arguments by name, as plain literals');
SELECT throws_ok($$SELECT durable_work.complete(job_id => 1000000, lease_token => 1, result => '{}')$$, 'DW001', NULL, 'also those that need a lease');
SELECT throws_ok($$SELECT durable_work.set_progress(job_id => 1000000, lease_token => 1, progress => '{}')$$, 'DW001', NULL, 'and set_progress');
SELECT throws_ok($$SELECT durable_work.owned_buckets(queue => 'g', worker => 'w')$$, 'DW002', NULL, 'and owned_buckets, that a worker is registered');

SELECT * FROM finish();
