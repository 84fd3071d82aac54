-- Payloads that break whoever works on them end as dead letters, with what happened to them, and leave the others alone.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.put(VARIADIC n text[]) RETURNS void LANGUAGE sql AS $$
    SELECT count(*) FROM unnest(n) AS name, durable_work.enqueue('poison', jsonb_build_object('n', name))
$$;
CREATE FUNCTION pg_temp.dead() RETURNS TABLE (n text, reason text, attempts int, history text) LANGUAGE sql AS $$
    SELECT d.payload->>'n', d.reason, d.attempts, (SELECT string_agg(concat_ws(' ', h->>'event', h->>'attempt', h->>'worker', h->>'reason'), ', ' ORDER BY o)
        FROM jsonb_array_elements(d.history) WITH ORDINALITY AS e(h, o))
    FROM durable_work.dead_letters AS d WHERE d.queue = 'poison' ORDER BY 1
$$;
SELECT durable_work.create_queue('poison', max_attempts => 3, lease => '10 min', backoff => 'fixed', backoff_base => '0', jitter => 0);

-- A worker that claims, works and completes in one transaction, and whose work always fails.
SELECT pg_temp.put('breaks its transaction');
CREATE PROCEDURE pg_temp.work_and_break() LANGUAGE plpgsql AS $$
DECLARE
    claims int := 0;
BEGIN
    WHILE claims < 20 AND NOT EXISTS (SELECT FROM durable_work.dead_letters WHERE queue = 'poison') LOOP
        BEGIN
            PERFORM FROM durable_work.claim('poison', 'w');
            IF FOUND THEN claims := claims + 1; RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
    IF claims <> 3 THEN RAISE EXCEPTION 'claimed % times', claims; END IF;
END $$;
CALL pg_temp.work_and_break();
SELECT * FROM pg_temp.dead();

-- A worker whose connection dies: the lease runs out, three times.
SELECT durable_work.alter_queue('poison', lease => '20 ms');
SELECT pg_temp.put('kills its worker');
CREATE PROCEDURE pg_temp.work_and_vanish() LANGUAGE plpgsql AS $$
DECLARE
    claims int := 0;
    got int;
BEGIN
    WHILE claims < 20 AND (SELECT count(*) < 2 FROM durable_work.dead_letters WHERE queue = 'poison') LOOP
        SELECT count(*) INTO got FROM durable_work.claim('poison', 'w');
        claims := claims + got;
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
    IF claims <> 3 THEN RAISE EXCEPTION 'claimed % times', claims; END IF;
END $$;
CALL pg_temp.work_and_vanish();
SELECT * FROM pg_temp.dead() WHERE n = 'kills its worker';

-- Behind them the others are served.
SELECT durable_work.alter_queue('poison', lease => '10 min');
SELECT pg_temp.put('fine');
CALL helper.until($$(SELECT count(*) = 1 FROM durable_work.inbox WHERE queue = 'poison' AND status = 'pending')$$);
SELECT payload->>'n' AS n, attempt FROM durable_work.claim('poison', 'w');
SELECT durable_work.drop_queue('poison', force => true);
