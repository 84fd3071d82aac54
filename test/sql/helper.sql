-- What the tests after this one call in their databases: words for a refusal, and waiting for a condition.
CREATE SCHEMA helper;
GRANT USAGE ON SCHEMA helper TO PUBLIC;

-- Numbers that differ from run to run are left out.
CREATE FUNCTION helper.refused(VARIADIC words text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT pg_catalog.regexp_replace(pg_catalog.string_agg(word, ' | ' ORDER BY n), '\m([Jj]ob|token|instance|instance is) \d+', '\1 N', 'g')
FROM pg_catalog.unnest(words) WITH ORDINALITY AS told (word, n) WHERE word <> '' $$;

-- SQLSTATE, message, detail and hint, or that there was no error.
CREATE FUNCTION helper.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN helper.refused(SQLSTATE, SQLERRM, detail, hint);
END $$;

-- The same, or the answer of a query of one row and column.
CREATE FUNCTION helper.answer(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    detail text;
    hint text;
BEGIN
    EXECUTE query INTO answer;
    RETURN coalesce(nullif(answer, ''), 'nothing');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN helper.refused(SQLSTATE, SQLERRM, detail, hint);
END $$;

-- Each look has a snapshot of its own.
CREATE PROCEDURE helper.until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    done boolean;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO done;
        EXIT WHEN done;
        IF clock_timestamp() > give_up THEN RAISE EXCEPTION 'waited in vain: %', condition; END IF;
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;

SELECT helper.refusal('SELECT 1'), helper.answer('SELECT 1'), helper.answer('SELECT NULL');
SELECT helper.refusal('SELECT 1 / 0'), helper.answer($$SELECT durable_work.drop_queue('nobody')$$);
SELECT helper.refused('DW002', 'job 12 is gone', '', 'Look for job 12.');
CALL helper.until('true');
