-- What the random calls of sql.py find in each database: queues of every kind, and helpers.
CREATE SCHEMA fuzz;
GRANT USAGE ON SCHEMA fuzz TO PUBLIC;

-- Runs a statement in a subtransaction of its own. What it fails with is forgotten, unless it must not happen.
CREATE FUNCTION fuzz.try(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE LIKE 'XX%' THEN
        RAISE;
    END IF;
END
$$;

CREATE FUNCTION fuzz.make_queues() RETURNS void LANGUAGE sql AS $$
    SELECT durable_work.create_queue('plain', max_attempts => 3, backoff_base => '10 ms', backoff_cap => '100 ms', lease => '2 s');
    SELECT durable_work.create_queue('keyed', ordering => 'key', on_exhausted => 'hold', backoff_base => '10 ms', lease => '2 s');
    SELECT durable_work.create_queue('fair', fairness => 'key');
    SELECT durable_work.create_queue('dying', ordering => 'key', fairness => 'key', on_exhausted => 'dead_letter_key', max_attempts => 1);
    SELECT durable_work.create_queue('durable', durable_claims => true, lease => '1 s');
    SELECT durable_work.create_queue('once', delivery => 'at_most_once', dead_letter_queue => 'plain');
    SELECT durable_work.create_queue('full', max_length => 5, overflow => 'drop_oldest');
    SELECT durable_work.create_queue('o''clock "1" \ %s {}', max_length => 3);
$$;
SELECT fuzz.make_queues();

-- Queues that calls made go again, so that a long run has slots left for others; those above come back.
CREATE FUNCTION fuzz.keep_few_queues() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT queue FROM durable_work.queues ORDER BY random() OFFSET 20 LOOP
        PERFORM fuzz.try(format('SELECT durable_work.drop_queue(%L, force => true)', name));
    END LOOP;
    PERFORM fuzz.try(format('SELECT durable_work.resume_queue(%L)', queue)) FROM durable_work.queues;
    PERFORM fuzz.try('SELECT fuzz.make_queues()');
END
$$;
