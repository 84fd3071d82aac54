-- What every call of the contract test finds: a queue with one job in each state and a registered worker, an empty queue, a
-- full one, one that hands out at most once, one with durable claims and one with a blocked key. contract.rebuild() brings all of it back after a call that changed something.
CREATE SCHEMA contract;

-- Far from the small numbers that a call may return as a count.
SELECT setval('durable_work.job_id_seq', 1000001);

CREATE ROLE contract_role;

CREATE FUNCTION contract.add(queue text, name text, key text DEFAULT NULL, after interval DEFAULT NULL) RETURNS bigint
LANGUAGE sql AS $$
    SELECT added.job_id
    FROM durable_work.enqueue(queue, jsonb_build_object('name', name), partition_key => 'a', idempotency_key => key, delay => after) AS added
$$;

CREATE PROCEDURE contract.rebuild(INOUT facts jsonb DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
    tokens bigint[];
    cancelled bigint;
    waiting bigint;
    ready bigint;
BEGIN
    PERFORM durable_work.deregister_worker(known.name) FROM durable_work.worker AS known;
    PERFORM durable_work.drop_queue(known.queue, force => true) FROM durable_work.queues AS known;
    DELETE FROM durable_work.handled;
    DELETE FROM durable_work.fence_token;
    PERFORM durable_work.create_queue('contract', lease => '1 h', max_attempts => 3, backoff => 'fixed',
        backoff_base => '1 h', jitter => 0);
    PERFORM durable_work.create_queue('contract_other');
    PERFORM durable_work.create_queue('contract_once', delivery => 'at_most_once');
    PERFORM durable_work.create_queue('contract_durable', durable_claims => true);
    PERFORM durable_work.create_queue('contract_full', max_length => 1);
    PERFORM durable_work.create_queue('contract_keys', ordering => 'key', on_exhausted => 'hold');
    PERFORM durable_work.create_queue('contract_fair', fairness => 'key');
    PERFORM contract.add('contract_keys', name) FROM unnest('{blocks,follows}'::text[]) AS name;
    PERFORM contract.add(queue, 'only one') FROM unnest('{contract_once,contract_durable,contract_full}'::text[]) AS queue;
    PERFORM durable_work.register_worker('contract_worker', '{contract}');
    PERFORM durable_work.fence('used', 9000000000000000000);
    PERFORM durable_work.mark_handled('used', 'used');
    PERFORM contract.add('contract', name, key => name) FROM unnest('{held,other_held,done,dead}'::text[]) AS name;
    COMMIT;

    SELECT array_agg(job.job_id ORDER BY job.job_id), array_agg(job.lease_token ORDER BY job.job_id) INTO ids, tokens
    FROM durable_work.claim('contract', 'contract', 4) AS job;
    IF cardinality(ids) IS DISTINCT FROM 4 THEN
        RAISE EXCEPTION 'the fixture could claim % jobs of 4', coalesce(cardinality(ids), 0);
    END IF;
    COMMIT;

    PERFORM durable_work.reject(job.job_id, job.lease_token, 'made dead') FROM durable_work.claim('contract_keys', 'contract', 1) AS job;
    PERFORM durable_work.complete(ids[3], tokens[3], result => '{"done": true}');
    PERFORM durable_work.reject(ids[4], tokens[4], 'made dead');
    cancelled := contract.add('contract', 'cancelled', after => '1 min');
    COMMIT;

    PERFORM durable_work.cancel(cancelled);
    waiting := contract.add('contract', 'waiting', key => 'taken', after => '10 min');
    ready := contract.add('contract', 'ready');
    PERFORM contract.add('contract', 'ready too');
    COMMIT;

    -- Numbers as text, for readers to whom a number is a double.
    facts := jsonb_build_object(
        'held', ids[1]::text, 'token', tokens[1]::text, 'other_held', ids[2]::text, 'other_token', tokens[2]::text,
        'done', ids[3]::text, 'done_token', tokens[3]::text, 'dead', ids[4]::text, 'dead_token', tokens[4]::text,
        'cancelled', cancelled::text, 'waiting', waiting::text, 'ready', ready::text,
        'queue_number', (SELECT id::text FROM durable_work.queue WHERE name = 'contract'),
        'body', (SELECT body FROM durable_work.outcome_0 WHERE first_id = ids[3] ORDER BY ctid DESC LIMIT 1));
END
$$;

-- Marked safe although nothing that it may run is: this is how a statement gets into a parallel worker.
CREATE FUNCTION contract.in_worker(statement text) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
END
$$;
CREATE FUNCTION contract.is_worker() RETURNS boolean LANGUAGE sql PARALLEL SAFE AS $$
    SELECT leader_pid IS NOT NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()
$$;
