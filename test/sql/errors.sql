-- Every argument of every function with what it must refuse: each call is refused with its SQLSTATE and leaves nothing.
-- The list at the end counts the functions, so that none is forgotten.
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.state(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TEMP TABLE tried (place serial, function text, arguments text, expected text, got text);
-- The calls of one function, one a line as `SQLSTATE arguments`; what is not as expected is shown.
CREATE FUNCTION pg_temp.refuse(function text, calls text) RETURNS TABLE (arguments text, expected text, got text) LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOREACH line IN ARRAY string_to_array(btrim(calls, E'\n'), E'\n') LOOP
        INSERT INTO tried (function, arguments, expected, got)
        SELECT function, part[2], part[1],
               pg_temp.state(CASE WHEN function IN ('wait_for_work', 'wait_for_job') THEN 'CALL' ELSE 'SELECT' END || ' durable_work.' || function || '(' || part[2] || ')')
        FROM regexp_matches(line, '^(\S+)\s+(.*)$') AS part;
    END LOOP;
    RETURN QUERY SELECT t.arguments, t.expected, t.got FROM tried t WHERE t.function = refuse.function AND t.expected <> t.got ORDER BY place;
END $$;

SELECT durable_work.create_queue('errors', lease => '1 h');
SELECT durable_work.create_queue('errors_empty');
SELECT job_id AS waiting FROM durable_work.enqueue('errors', '{"n": "waiting"}', delay => '1 min') \gset
SELECT job_id AS done FROM durable_work.enqueue('errors', '{"n": "done"}') \gset
SELECT job_id, lease_token AS done_token FROM durable_work.claim('errors', 'w', 1) \gset
SELECT durable_work.complete(:done, :done_token);
SELECT job_id AS held FROM durable_work.enqueue('errors', '{"n": "held"}') \gset
SELECT lease_token AS token FROM durable_work.claim('errors', 'w', 1) \gset
SELECT count(*) AS jobs_before FROM durable_work.inbox \gset

SELECT * FROM pg_temp.refuse('create_queue', $$
22004 NULL
22023 ''
22023 repeat('q', 128)
22004 'bad', lease => NULL
22023 'bad', lease => '0'
22023 'bad', lease => '-1 s'
22023 'bad', lease => '1 day -1 week'
22023 'bad', lease => '400 days'
22023 'bad', lease => '178000000 years'
22004 'bad', max_attempts => NULL
22023 'bad', max_attempts => 0
22023 'bad', max_attempts => -1
22023 'bad', max_attempts => 32768
22004 'bad', backoff => NULL
22023 'bad', backoff => ''
22023 'bad', backoff => 'random'
22023 'bad', backoff => repeat('x', 1000000)
22004 'bad', backoff_base => NULL
22023 'bad', backoff_base => '-1 s'
22023 'bad', backoff_base => '2 h'
22004 'bad', backoff_cap => NULL
22023 'bad', backoff_cap => '-1 s'
22023 'bad', backoff_cap => '1 s'
22004 'bad', buckets => NULL
22023 'bad', buckets => 0
22023 'bad', buckets => 1025
22004 'bad', jitter => NULL
22023 'bad', jitter => -0.01
22023 'bad', jitter => 1.01
22023 'bad', jitter => 'NaN'
22023 'bad', jitter => 'infinity'
22004 'bad', retention => NULL
22023 'bad', retention => '-1 s'
22004 'bad', dedupe_window => NULL
22023 'bad', dedupe_window => '-1 s'
22004 'bad', delivery => NULL
22023 'bad', delivery => ''
22023 'bad', delivery => 'exactly_once'
22023 'bad', max_length => -1
22004 'bad', overflow => NULL
22023 'bad', overflow => 'drop'
DW002 'bad', dead_letter_queue => 'nowhere'
22023 'bad', dead_letter_queue => repeat('q', 128)
22023 'bad', dead_letter_queue => 'bad'
22004 'bad', durable_claims => NULL
22023 'bad', max_runtime => '-1 s'
22004 'bad', max_payload => NULL
22023 'bad', max_payload => ''
22023 'bad', max_payload => '0'
22023 'bad', max_payload => '1 elephant'
22023 'bad', max_payload => '1 TB'
22004 'bad', strict => NULL
DW003 'errors'
DW003 'errors', lease => '2 h'
$$);
SELECT * FROM pg_temp.refuse('alter_queue', $$
22004 NULL, lease => '1 h'
22023 '', lease => '1 h'
DW002 'nowhere', lease => '1 h'
22023 'errors'
22023 'errors', lease => '0'
22023 'errors', lease => '-1 s'
22023 'errors', max_attempts => 0
22023 'errors', max_attempts => 40000
22023 'errors', backoff => 'random'
22023 'errors', backoff_base => '-1 s'
22023 'errors', backoff_base => '3 h'
22023 'errors', backoff_cap => '0'
22023 'errors', jitter => 2
22023 'errors', jitter => 'NaN'
22023 'errors', retention => '-1 s'
22023 'errors', dedupe_window => '-1 s'
22023 'errors', delivery => 'exactly_once'
22023 'errors', max_length => -1
22023 'errors', overflow => 'drop'
DW002 'errors', dead_letter_queue => 'nowhere'
22023 'errors', dead_letter_queue => 'errors'
22023 'errors', max_runtime => '-1 s'
22023 'errors', max_payload => '1 TB'
$$);
SELECT * FROM pg_temp.refuse('drop_queue', $$
22004 NULL
22023 ''
DW002 'nowhere'
DW002 'nowhere', force => true
22004 'errors', force => NULL
DW006 'errors'
$$);
SELECT * FROM pg_temp.refuse('redrive', $$
22004 NULL
22023 ''
DW002 'nowhere'
DW002 'errors', to_queue => 'nowhere'
22023 'errors', to_queue => ''
22004 'errors', job_ids => ARRAY[NULL]::bigint[]
22023 'errors', job_ids => ARRAY[0]
22023 'errors', job_ids => ARRAY[[1, 2], [3, 4]]
22023 'errors', error_like => ''
22023 'errors', error_like => repeat('x', 1025)
22023 'errors', error_like => 'x\'
22023 'errors', since => 'infinity'
22023 'errors', until => '-infinity'
22023 'errors', rate_per_second => 0
22023 'errors', rate_per_second => -1
22023 'errors', rate_per_second => 'NaN'
22023 'errors', rate_per_second => 1e9
22023 'errors', max_jobs => 0
22004 'errors', dry_run => NULL
$$);
SELECT * FROM pg_temp.refuse('discard_dead_letter', $$
22004 NULL, 'errors'
22023 0, 'errors'
22004 1, NULL
22023 1, ''
DW002 1, 'nowhere'
DW002 999999999999, 'errors'
$$);
SELECT * FROM pg_temp.refuse('pause_queue', $$
22004 NULL
22023 ''
DW002 'nowhere'
$$);
SELECT * FROM pg_temp.refuse('resume_queue', $$
22004 NULL
22023 ''
DW002 'nowhere'
$$);
SELECT * FROM pg_temp.refuse('set_concurrency_limit', $$
22004 NULL, 1
22023 '', 1
DW002 'nowhere', 1
DW002 'nowhere', NULL
22023 'errors', -1
22004 'errors', 1, NULL
22023 'errors', 1, ''
22023 'errors', 1, 'topic'
22023 'errors', 1, 'key', 'partner'
22023 'errors', 1, 'group'
22023 'errors', 1, 'group', ''
22023 'errors', 1, 'group', repeat('g', 64)
22023 'errors', 1, 'queue', 'partner'
22023 'errors', NULL, 'queue', 'partner'
22023 'errors', NULL, 'group', 'partner'
DW002 'nowhere', 1, 'group', 'partner'
$$);
SELECT * FROM pg_temp.refuse('set_rate_limit', $$
22004 NULL, 1
22023 '', 1
DW002 'nowhere', 1
22023 'errors', 0
22023 'errors', -1
22023 'errors', 1000001
22004 'errors', 1, NULL
22023 'errors', 1, '0'
22023 'errors', 1, '-1 s'
22023 'errors', 1, '999 us'
22023 'errors', 1, '32 d'
22023 'errors', 1, '1 s', 0
22023 'errors', 1, '1 s', 1000001
22004 'errors', 1, scope => NULL
22023 'errors', 1, scope => 'worker'
22023 'errors', 1, scope => 'key', limit_group => 'partner'
22023 'errors', 1, scope => 'group'
22023 'errors', 1, limit_group => 'partner'
22023 'errors', NULL, scope => 'group', limit_group => 'partner'
$$);
SELECT * FROM pg_temp.refuse('enqueue', $$
22004 NULL, '{}'
22023 '', '{}'
DW002 'nowhere', '{}'
22023 repeat('q', 128), '{}'
22004 'errors', NULL
22023 'errors', '{}', partition_key => repeat('k', 1025)
22023 'errors', '{}', idempotency_key => ''
22023 'errors', '{}', idempotency_key => repeat('k', 513)
22004 'errors', '{}', priority => NULL
22023 'errors', '{}', priority => -1
22023 'errors', '{}', priority => 10
22023 'errors', '{}', available_at => 'infinity'
22023 'errors', '{}', available_at => '-infinity'
22023 'errors', '{}', available_at => now(), delay => '1 s'
22023 'errors', '{}', delay => '-1 s'
22023 'errors', '{}', delay => '178000000 years'
22023 'errors', '{}', delay => '106751000 days'
22023 'errors', '{}', max_attempts => 0
22023 'errors', '{}', max_attempts => -1
22023 'errors', '{}', max_attempts => 32768
22023 'errors', '{}', headers => '[]'
22023 'errors', '{}', headers => '1'
22004 'errors', '{}', idempotency_key => 'k', unique_while => NULL
22023 'errors', '{}', idempotency_key => 'k', unique_while => 'ever'
22004 'errors', '{}', idempotency_key => 'k', on_duplicate => NULL
22023 'errors', '{}', idempotency_key => 'k', on_duplicate => 'ignore'
22023 'errors', '{}', unique_while => 'pending'
22023 'errors', '{}', on_duplicate => 'error'
22023 'errors', '{}', headers => jsonb_build_object('h', repeat('x', 65536))
22023 'errors', to_jsonb(repeat('x', 1048576))
22023 'errors', '{}', headers => 'null'
22023 'errors', '{}', expires_at => 'infinity'
22023 'errors', '{}', expires_at => '-infinity'
22023 'errors', '{}', expires_at => now()
22023 'errors', '{}', expires_at => '2100-01-01', available_at => '2100-01-01'
22023 'errors', '{}', expires_at => now() + interval '1 h', delay => '1 day'
$$);
SELECT * FROM pg_temp.refuse('enqueue_many', $$
22004 NULL, '{"{}"}'
22023 '', '{"{}"}'
DW002 'nowhere', '{"{}"}'
22004 'errors', NULL
22004 'errors', '{NULL}'
22004 'errors', '{"{}", NULL}'
22023 'errors', array_fill('{}'::jsonb, '{100001}')
22023 'errors', array_fill('{}'::jsonb, '{2,2}')
22023 'errors', '{"{}"}', partition_keys => '{a,b}'
22023 'errors', '{"{}"}', partition_keys => '{}'
22023 'errors', '{"{}", "{}"}', partition_keys => '{a}'
22023 'errors', '{"{}"}', partition_keys => array[repeat('k', 1025)]
22023 'errors', '{"{}"}', idempotency_keys => '{a,b}'
22023 'errors', '{"{}"}', idempotency_keys => '{""}'
22023 'errors', '{"{}"}', idempotency_keys => array[repeat('k', 513)]
DW004 'errors', '{"{}", "[]"}', idempotency_keys => '{a,a}'
22023 'errors', '{"{}"}', priorities => '{1,2}'
22004 'errors', '{"{}"}', priorities => '{NULL}'
22023 'errors', '{"{}"}', priorities => '{10}'
22023 'errors', '{"{}"}', priorities => '{-1}'
22023 'errors', '{"{}"}', available_ats => '{now,now}'
22023 'errors', '{"{}"}', available_ats => '{infinity}'
22023 'errors', '{"{}"}', available_ats => '{-infinity}'
22023 'errors', '{"{}"}', headers => '{"{}", "{}"}'
22023 'errors', '{"{}"}', headers => '{"[]"}'
$$);
SELECT format($calls$
22004 NULL
22023 0
22023 -1
DW002 9223372036854775807
DW002 1000000000000
DW006 %1$s
22023 %2$s, ''
DW002 %2$s, 'nowhere'
DW002 %2$s, 'errors_empty'
$calls$, :done, :waiting) AS calls \gset
SELECT * FROM pg_temp.refuse('cancel', :'calls');
SELECT format($calls$
22004 NULL, now()
22023 0, now()
DW002 9223372036854775807, now()
22004 %2$s, NULL
22023 %2$s, 'infinity'
22023 %2$s, '-infinity'
22023 %2$s, '9999-01-01'
DW002 %2$s, now(), 'nowhere'
DW002 %2$s, now(), 'errors_empty'
22023 %2$s, now(), ''
DW006 %1$s, now()
DW006 %3$s, now()
$calls$, :done, :waiting, :held) AS calls \gset
SELECT * FROM pg_temp.refuse('reschedule', :'calls');
SELECT format($calls$
22004 NULL, '1'
22023 -1, '1'
DW002 9223372036854775807, '1'
22004 %2$s, NULL
22023 %2$s, to_jsonb(repeat('x', 1048576))
DW006 %1$s, '1'
DW006 %3$s, '1'
$calls$, :done, :waiting, :held) AS calls \gset
SELECT * FROM pg_temp.refuse('update_payload', :'calls');
SELECT * FROM pg_temp.refuse('cancel_many', $$
22004 NULL
22023 ''
DW002 'nowhere'
22023 repeat('q', 128)
22023 'errors', older_than => '-1 s'
22023 'errors', older_than => '-178000000 years'
22004 'errors', older_than => '1 h', max_jobs => NULL
22023 'errors', older_than => '1 h', max_jobs => 0
22023 'errors', older_than => '1 h', max_jobs => 100001
22023 'errors', after_job_id => -1
22023 'errors', after_job_id => 9223372036854775807
22023 'errors'
$$);
SELECT * FROM pg_temp.refuse('reschedule_many', $$
22004 NULL, '2000-01-01'
22023 '', '2000-01-01'
DW002 'nowhere', '2000-01-01'
22023 repeat('q', 128), '2000-01-01'
22023 'errors', '2000-01-01', older_than => '-1 s'
22023 'errors', '2000-01-01', older_than => '-178000000 years'
22004 'errors', '2000-01-01', max_jobs => NULL
22023 'errors', '2000-01-01', max_jobs => 0
22023 'errors', '2000-01-01', max_jobs => 100001
22023 'errors', '2000-01-01', after_job_id => -1
22023 'errors', '2000-01-01', after_job_id => 9223372036854775807
22004 'errors', NULL
22023 'errors', 'infinity'
22023 'errors', '9999-01-01'
$$);
SELECT * FROM pg_temp.refuse('retry_now_many', $$
22004 NULL
22023 ''
DW002 'nowhere'
22023 repeat('q', 128)
22023 'errors', older_than => '-1 s'
22023 'errors', older_than => '-178000000 years'
22004 'errors', max_jobs => NULL
22023 'errors', max_jobs => 0
22023 'errors', max_jobs => 100001
22023 'errors', after_job_id => -1
22023 'errors', after_job_id => 9223372036854775807
$$);
SELECT * FROM pg_temp.refuse('purge_queue', $$
22004 NULL
22023 ''
DW002 'nowhere'
22023 repeat('q', 128)
22004 'errors', NULL
$$);
SELECT durable_work.create_queue('errors_keys', ordering => 'key');
SELECT * FROM pg_temp.refuse('key_status', $$
22004 NULL, 'a'
22023 '', 'a'
DW002 'nowhere', 'a'
22023 repeat('q', 128), 'a'
22023 'errors', 'a'
22004 'errors_keys', NULL
22023 'errors_keys', repeat('k', 1025)
$$);
SELECT * FROM pg_temp.refuse('blocked_keys', $$
22004 NULL
22023 ''
DW002 'nowhere'
22023 repeat('q', 128)
$$);
SELECT * FROM pg_temp.refuse('unblock_key', $$
22004 NULL, 'a'
22023 '', 'a'
DW002 'nowhere', 'a'
22023 repeat('q', 128), 'a'
22023 'errors', 'a'
22004 'errors_keys', NULL
22023 'errors_keys', repeat('k', 1025)
DW002 'errors_keys', 'a'
22004 'errors_keys', 'a', NULL
22023 'errors_keys', 'a', ''
22023 'errors_keys', 'a', 'forget'
$$);
SELECT durable_work.create_queue('errors_fair', fairness => 'key');
SELECT * FROM pg_temp.refuse('set_key_weight', $$
22004 NULL, 'a', 2
22023 '', 'a', 2
DW002 'nowhere', 'a', 2
22023 'errors_keys', 'a', 2
22004 'errors_fair', NULL, 2
22023 'errors_fair', repeat('k', 1025), 2
22023 'errors_fair', 'a', 0
22023 'errors_fair', 'a', 101
$$);
SELECT durable_work.drop_queue('errors_keys'), durable_work.drop_queue('errors_fair');
SELECT * FROM pg_temp.refuse('claim', $$
22004 NULL::text, 'w'
22023 '', 'w'
DW002 'nowhere', 'w'
22023 repeat('q', 128), 'w'
22004 'errors', NULL
22023 'errors', ''
22023 'errors', repeat('w', 128)
22004 'errors', 'w', max_jobs => NULL
22023 'errors', 'w', max_jobs => 0
22023 'errors', 'w', max_jobs => -1
22023 'errors', 'w', max_jobs => 10001
22023 'errors', 'w', lease => '0'
22023 'errors', 'w', lease => '-1 s'
22023 'errors', 'w', lease => '40000 days'
22023 'errors', 'w', lease => '178000000 years'
22004 'errors', 'w', wait => NULL
22023 'errors', 'w', wait => '-1 s'
22023 'errors', 'w', wait => '5001 ms'
22023 'errors', 'w', wait => '178000000 years'
22023 'errors', 'w', request_id => ''
22023 'errors', 'w', request_id => repeat('r', 256)
22023 'errors', 'w', instance => 0
22023 'errors', 'w', instance => -1
22004 NULL::text[], 'w'
22023 '{}'::text[], 'w'
22004 '{errors,NULL}'::text[], 'w'
22023 '{errors,""}'::text[], 'w'
DW002 '{errors,nowhere}'::text[], 'w'
22023 array_fill('errors'::text, '{65}'), 'w'
22023 array_fill('errors'::text, '{2,2}'), 'w'
22004 '{errors}'::text[], NULL
22023 '{errors}'::text[], ''
22023 '{errors}'::text[], 'w', max_jobs => 0
22023 '{errors}'::text[], 'w', lease => '-1 s'
22004 '{errors}'::text[], 'w', wait => NULL
22023 '{errors}'::text[], 'w', wait => '6 s'
22023 '{errors}'::text[], 'w', request_id => ''
22023 '{errors}'::text[], 'w', instance => -1
$$);
-- What every function that takes a lease refuses, with %s for what else it needs.
SELECT format($calls$
22004 NULL, 1%%1$s
22023 0, 1%%1$s
22023 -1, 1%%1$s
22004 %1$s, NULL%%1$s
DW001 %1$s, %2$s + 1%%1$s
DW001 %1$s, %2$s - 1%%1$s
22023 %1$s, 0%%1$s
22023 %1$s, -1%%1$s
DW001 %1$s, 9223372036854775807%%1$s
22023 %1$s, -9223372036854775808%%1$s
DW001 %3$s, %2$s%%1$s
DW001 %3$s, 1%%1$s
DW001 %4$s, %2$s%%1$s
DW001 9223372036854775807, %2$s%%1$s
$calls$, :held, :token, :waiting, :done) AS lease_calls \gset
SELECT * FROM pg_temp.refuse('complete', format(:'lease_calls', ''));
SELECT * FROM pg_temp.refuse('fail', format(:'lease_calls', '') || format($$
22023 %1$s, retry_in => '-1 s'
22023 %1$s, retry_in => '40000 days'
22023 %1$s, retry_in => '178000000 years'
22004 %1$s, retryable => NULL
22023 %1$s, to_jsonb(repeat('x', 1200000))
$$, :'held' || ', ' || :'token'));
SELECT * FROM pg_temp.refuse('release', format(:'lease_calls', ''));
SELECT * FROM pg_temp.refuse('defer', format(:'lease_calls', ', now()') || format($$
22004 %1$s, NULL
22023 %1$s, 'infinity'
22023 %1$s, '-infinity'
22023 %1$s, now() + interval '200 years'
$$, :'held' || ', ' || :'token'));
SELECT * FROM pg_temp.refuse('reject', format(:'lease_calls', $$, 'no'$$) || format($$
22004 %1$s, NULL
22023 %1$s, ''
22023 %1$s, repeat('x', 1025)
$$, :'held' || ', ' || :'token'));
SELECT * FROM pg_temp.refuse('extend_lease', format(:'lease_calls', '') || format($$
22023 %1$s, '0'
22023 %1$s, '-1 s'
22023 %1$s, '40000 days'
$$, :'held' || ', ' || :'token'));
SELECT * FROM pg_temp.refuse('try_complete', $$
22004 NULL, 1
22004 1, NULL
22023 0, 1
22023 -1, 1
22023 1, 0
22023 1, -1
$$);
SELECT durable_work.try_complete(:held, :token + 1), durable_work.try_complete(:held, 1), durable_work.try_complete(:waiting, 1),
       durable_work.try_complete(:done, :token), durable_work.try_complete(9223372036854775807, 1), durable_work.try_complete(:done, :done_token);
SELECT * FROM pg_temp.refuse('complete_many', $$
22004 NULL, '{1}'
22004 '{1}', NULL
22004 '{NULL}', '{1}'
22004 '{1}', '{NULL}'
22023 '{1}', '{1,2}'
22023 '{1,2}', '{1}'
22023 '{1}', '{}'
22023 '{1}', '{1}', '{}'
22023 '{1}', '{1}', '{"1","2"}'
22023 array_fill(1::bigint, '{100001}'), array_fill(1::bigint, '{100001}')
22023 array_fill(1::bigint, '{2,2}'), array_fill(1::bigint, '{2,2}')
$$);
SELECT * FROM pg_temp.refuse('complete_and_claim', $$
22004 NULL, '{1}', 'errors', 'w'
22004 '{1}', NULL, 'errors', 'w'
22004 '{NULL}', '{1}', 'errors', 'w'
22004 '{1}', '{NULL}', 'errors', 'w'
22023 '{0}', '{1}', 'errors', 'w'
22023 '{1}', '{0}', 'errors', 'w'
22023 '{1}', '{1,2}', 'errors', 'w'
22023 '{1}', '{1}', 'errors', 'w', results => '{}'
22023 array_fill(1::bigint, '{100001}'), array_fill(1::bigint, '{100001}'), 'errors', 'w'
22004 '{1}', '{1}', NULL::text, 'w'
22023 '{1}', '{1}', '', 'w'
DW002 '{1}', '{1}', 'nowhere', 'w'
22004 '{1}', '{1}', NULL::text[], 'w'
22023 '{1}', '{1}', '{}'::text[], 'w'
22004 '{1}', '{1}', '{errors,NULL}'::text[], 'w'
DW002 '{1}', '{1}', '{errors,nowhere}'::text[], 'w'
22004 '{1}', '{1}', 'errors', NULL
22023 '{1}', '{1}', 'errors', ''
22004 '{1}', '{1}', 'errors', 'w', max_jobs => NULL
22023 '{1}', '{1}', 'errors', 'w', max_jobs => 0
22023 '{1}', '{1}', 'errors', 'w', max_jobs => 10001
22023 '{1}', '{1}', 'errors', 'w', lease => '0'
22023 '{1}', '{1}', 'errors', 'w', instance => 0
$$);
SELECT * FROM pg_temp.refuse('fail_many', $$
22004 NULL, '{1}'
22004 '{1}', NULL
22004 '{NULL}', '{1}'
22004 '{1}', '{NULL}'
22023 '{1}', '{1,2}'
22023 '{1,2}', '{1}'
22023 '{1}', '{}'
22023 '{1}', '{1}', '{"1","2"}'
22023 '{1}', '{1}', retry_in => '-1 s'
22004 '{1}', '{1}', retryable => NULL
22023 '{1}', '{1}', array[to_jsonb(repeat('x', 1200000))]
22023 array_fill(1::bigint, '{100001}'), array_fill(1::bigint, '{100001}')
$$);
SELECT outcome FROM durable_work.complete_many(ARRAY[:held, :waiting, :done, 9223372036854775807], ARRAY[1, 2, 3, 4]);
SELECT outcome FROM durable_work.fail_many(ARRAY[:held, :waiting, :done, 9223372036854775807], ARRAY[1, 2, 3, 4]);
SELECT count(*) FROM durable_work.complete_many('{}', '{}');
SELECT count(*) FROM durable_work.fail_many('{}', '{}');
SELECT count(*) FROM durable_work.enqueue_many('errors', '{}');
-- set_progress refuses what the others refuse that take a lease.
SELECT format($calls$
22004 NULL, 1, '1'
22004 %1$s, NULL, '1'
22004 %1$s, %2$s, NULL
22023 0, 1, '1'
22023 %1$s, 0, '1'
22023 %1$s, %2$s, to_jsonb(repeat('x', 1001))
DW001 %1$s, %2$s + 1, '1'
DW001 9223372036854775807, 1, '1'
$calls$, :held, :token) AS calls \gset
SELECT * FROM pg_temp.refuse('set_progress', :'calls');
SELECT * FROM pg_temp.refuse('heartbeat', $$
22004 NULL
22023 ''
22023 repeat('w', 128)
22023 'w', lease => '0'
22023 'w', lease => '-1 s'
22023 'w', lease => '40000 days'
22023 'w', instance => 0
22023 'w', instance => -1
$$);
SELECT count(*) FROM durable_work.heartbeat('nobody');
-- wait_for_work is refused in a block before anything else, and this file calls it in a function.
SELECT * FROM pg_temp.refuse('wait_for_job', $$
25001 1, '1 s'
25001 NULL, '1 s'
25001 1000000000, NULL
$$);
SELECT * FROM pg_temp.refuse('wait_for_work', $$
25001 '{errors}', '1 s'
$$);
\set VERBOSITY sqlstate
CALL durable_work.wait_for_job(NULL, '1 s');
CALL durable_work.wait_for_job(1000000000, '1 s');
CALL durable_work.wait_for_job(0, '1 s');
CALL durable_work.wait_for_job(:done, NULL);
CALL durable_work.wait_for_job(:done, '-1 s');
CALL durable_work.wait_for_job(:done, '61 s');
CALL durable_work.wait_for_work(NULL, '1 s');
CALL durable_work.wait_for_work('{}', '1 s');
CALL durable_work.wait_for_work('{NULL}', '1 s');
CALL durable_work.wait_for_work('{""}', '1 s');
CALL durable_work.wait_for_work('{nowhere}', '1 s');
CALL durable_work.wait_for_work('{errors,nowhere}', '1 s');
CALL durable_work.wait_for_work(array_fill('errors_empty'::text, '{65}'), '1 s');
CALL durable_work.wait_for_work('{errors}', NULL);
CALL durable_work.wait_for_work('{errors}', '-1 s');
CALL durable_work.wait_for_work('{errors}', '61 s');
CALL durable_work.wait_for_work('{errors}', '178000000 years');
\set VERBOSITY default
SELECT * FROM pg_temp.refuse('mark_handled', $$
22004 NULL, 'k'
22023 '', 'k'
22023 repeat('h', 256), 'k'
22004 'h', NULL
22023 'h', ''
22023 'h', repeat('k', 1025)
22004 'h', 'k', NULL
22023 'h', 'k', '0'
22023 'h', 'k', '-1 s'
22023 'h', 'k', '40000 days'
$$);
SELECT durable_work.fence('file', 5);
SELECT * FROM pg_temp.refuse('fence', $$
22004 NULL, 1
22023 '', 1
22023 repeat('r', 1025), 1
22004 'r', NULL
DW001 'file', 4
22023 'file', 0
22023 'file', -1
$$);
SELECT * FROM pg_temp.refuse('grant_queue', $$
22004 'errors', NULL, 'work'
22004 'errors', 'nobody', NULL
22023 '', 'nobody', 'work'
22023 'errors', '', 'work'
22023 'errors', 'public', 'work'
22023 'errors', current_user, 'read'
22023 'errors', current_user, ''
42704 'errors', 'nobody of that name', 'work'
DW002 'nowhere', current_user, 'work'
$$);
SELECT * FROM pg_temp.refuse('revoke_queue', $$
22004 'errors', NULL
22023 '', current_user
22023 'errors', 'public'
22023 'errors', current_user, 'read'
42704 'errors', 'nobody of that name'
DW002 'nowhere', current_user
$$);
SELECT * FROM pg_temp.refuse('may', $$
22023 -1, 'see'
22023 1, 'nothing'
$$);
SELECT * FROM pg_temp.refuse('bucket', $$
22023 'k', 0
22023 'k', -1
$$);
SELECT durable_work.bucket(NULL), durable_work.bucket('k', NULL);
SELECT * FROM pg_temp.refuse('shard_key', $$
22004 'k', NULL, 8
22004 'k', 's', NULL
22004 NULL, 's', NULL
22023 'k', 's', 0
22023 'k', 's', -1
22023 NULL, 's', 0
$$);
SELECT * FROM pg_temp.refuse('hot_keys', $$
22004 NULL
22023 ''
DW002 'nowhere'
22004 'errors', NULL
22023 'errors', 0
22023 'errors', 10001
$$);
SELECT * FROM pg_temp.refuse('explain_job', $$
22004 NULL
DW002 1000000000000
DW002 1000000000000, 'errors'
DW002 1, 'nowhere'
22023 1, ''
$$);
SELECT * FROM pg_temp.refuse('explain_waiting', $$
22004 NULL
22023 ''
DW002 'nowhere'
22023 repeat('q', 128)
$$);
SELECT * FROM pg_temp.refuse('history', $$
22004 NULL
DW002 1000000000000
DW002 1000000000000, 'errors'
DW002 1, 'nowhere'
22023 1, ''
$$);
SELECT * FROM pg_temp.refuse('ring_simulate', $$
22004 NULL
22004 '{NULL}'
22023 '{a,a}'
22023 '{""}'
22023 ARRAY[repeat('w', 128)]
22023 array_fill('w'::text, '{1025}')
22004 '{a}', NULL
22023 '{a}', 0
22023 '{a}', 1025
22004 '{a}', 1, NULL
22023 '{a}', 1, 0
22023 '{a}', 1, 1025
$$);
SELECT * FROM pg_temp.refuse('ring_moved', $$
22004 NULL, '{a}'
22004 '{a}', NULL
22023 '{a,a}', '{a}'
22023 '{a}', '{a,a}'
22023 '{a}', '{a}', 0
22023 '{a}', '{a}', 1, 0
$$);
SELECT * FROM pg_temp.refuse('register_worker', $$
22004 NULL, '{errors}'
22023 '', '{errors}'
22023 repeat('w', 128), '{errors}'
22004 'w', NULL
22023 'w', '{}'
22004 'w', '{NULL}'
DW002 'w', '{nowhere}'
DW002 'w', '{errors,nowhere}'
22023 'w', array_fill('errors'::text, '{65}')
22023 'w', '{errors}', 0
22023 'w', '{errors}', -1
22023 'w', '{errors}', 1000001
22004 'w', '{errors}', vnodes => NULL
22023 'w', '{errors}', vnodes => 0
22023 'w', '{errors}', vnodes => 1025
22023 'w', '{errors}', labels => '1'
22023 'w', '{errors}', labels => '[]'
22023 'w', '{errors}', labels => jsonb_build_object('x', repeat('x', 8192))
$$);
SELECT * FROM pg_temp.refuse('deregister_worker', $$
22004 NULL
22023 ''
22023 repeat('w', 128)
22023 'w', 0
22023 'w', -1
$$);
SELECT * FROM pg_temp.refuse('drain_worker', $$
22004 NULL
22023 ''
DW002 'nobody'
22004 'nobody', NULL
22023 'nobody', '-1 s'
22023 'nobody', '366 days'
22023 'nobody', '178000000 years'
22023 'nobody', instance => 0
$$);
SELECT * FROM pg_temp.refuse('ring_owner', $$
22004 NULL, 'k'
DW002 'nowhere', 'k'
22023 '', 'k'
22004 'errors', NULL
$$);
SELECT * FROM pg_temp.refuse('owned_buckets', $$
22004 NULL, 'w'
DW002 'nowhere', 'w'
22004 'errors', NULL
22023 'errors', ''
DW002 'errors', 'nobody'
$$);
SELECT * FROM pg_temp.refuse('resize_buckets', $$
22004 NULL, 5
DW002 'nowhere', 5
22023 '', 5
22004 'errors', NULL
22023 'errors', 0
22023 'errors', -1
22023 'errors', 1025
$$);

-- The view.
SELECT call, pg_temp.state('INSERT INTO durable_work.inbox ' || call) FROM unnest(ARRAY[
    $$(queue, payload) VALUES ('nowhere', '{}')$$,
    $$(queue, payload) VALUES ('', '{}')$$,
    $$(queue, payload) VALUES ('errors', NULL)$$,
    $$(queue) VALUES ('errors')$$,
    $$(queue, payload, priority) VALUES ('errors', '{}', 10)$$,
    $$(queue, payload, available_at) VALUES ('errors', '{}', 'infinity')$$,
    $$(queue, payload, headers) VALUES ('errors', '{}', '[]')$$,
    $$(queue, payload, max_attempts) VALUES ('errors', '{}', 0)$$,
    $$(queue, payload, idempotency_key) VALUES ('errors', '{}', '')$$,
    $$(queue, payload, id) VALUES ('errors', '{}', 5)$$,
    $$(queue, payload, status) VALUES ('errors', '{}', 'completed')$$,
    $$(queue, payload, attempts) VALUES ('errors', '{}', 3)$$]) AS call;
SELECT pg_temp.state('UPDATE durable_work.inbox SET status = $$completed$$') AS "update",
       pg_temp.state('DELETE FROM durable_work.inbox') AS "delete";

-- Nothing was left behind by any of it.
SELECT count(*) - :jobs_before AS jobs_made FROM durable_work.inbox;
SELECT queue FROM durable_work.queues WHERE queue ~ '^(bad|errors|nowhere)' OR queue = '' ORDER BY queue;
SELECT lease, backoff, jitter FROM durable_work.queues WHERE queue = 'errors';
SELECT * FROM durable_work.limits;
SELECT count(*) FROM durable_work.handled WHERE handler IN ('h', '') OR handler LIKE 'hh%';
SELECT * FROM durable_work.fence_token WHERE resource IN ('file', 'r', '') OR resource LIKE 'rr%';
SELECT count(*) AS workers_made FROM durable_work.workers;
SELECT payload->>'n' AS n, status, attempts FROM durable_work.inbox WHERE queue = 'errors' ORDER BY id;
SELECT durable_work.complete(:held, :token);

-- Every public function that has arguments was tried.
SELECT proname FROM (SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace) AS p
WHERE proname NOT IN (SELECT function FROM tried)
  AND proname NOT IN ('inbox_insert', 'job_state', 'live_leases', 'queue_figures', 'limit_figures', 'wake_figures', 'worker_figures', 'log_slots', 'outcome_members', 'health', 'attach_database', 'library_version', 'rows_arrived', 'reload')
ORDER BY 1;
SELECT count(*) > 340 AS many, bool_and(got = expected) AS all_as_expected FROM tried;

DELETE FROM durable_work.fence_token WHERE resource = 'file';
SELECT durable_work.drop_queue('errors', force => true), durable_work.drop_queue('errors_empty');
