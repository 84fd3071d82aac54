# One session that calls and calls: its memory stays as it is, whatever the calls come to.
#
# DW_LEAK_CALLS: how many (default 40000).
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $calls = $ENV{DW_LEAK_CALLS} || 40_000;

my $node = new_server('leaks', conf => ['fsync = off', 'autovacuum = off']);
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('graves');
SELECT durable_work.create_queue('churn', dead_letter_queue => 'graves', backoff_base => '1 ms');
CREATE TABLE helper.caught (state text PRIMARY KEY, times bigint);
-- Makes so many calls, 26 of them in a round.
CREATE PROCEDURE helper.churn(calls bigint) LANGUAGE plpgsql AS $$
DECLARE
    jobs durable_work.claimed_job[];
    caught int;
BEGIN
    FOR round IN 1 .. calls / 26 LOOP
        FOR i IN 1 .. 5 LOOP
            PERFORM durable_work.enqueue('churn', '{"n": 1}', partition_key => 'key ' || i);
        END LOOP;
        PERFORM durable_work.enqueue_many('churn', ARRAY['{"n": 2}', '{"n": 3}']::jsonb[]);
        COMMIT;
        -- One that is rolled back.
        BEGIN
            PERFORM durable_work.claim('churn', 'churner', 1);
            PERFORM durable_work.enqueue('churn', '{}');
            RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
        SELECT array_agg(c) INTO jobs FROM durable_work.claim('churn', 'churner', 6) c;
        COMMIT;
        PERFORM durable_work.heartbeat('churner');
        CONTINUE WHEN coalesce(array_length(jobs, 1), 0) < 6;
        PERFORM durable_work.extend_lease(jobs[1].job_id, jobs[1].lease_token, '1 min');
        PERFORM durable_work.set_progress(jobs[2].job_id, jobs[2].lease_token, '{"done": 50}');
        PERFORM durable_work.complete(jobs[1].job_id, jobs[1].lease_token);
        PERFORM durable_work.complete(jobs[2].job_id, jobs[2].lease_token, '{"result": "some text"}');
        PERFORM durable_work.fail(jobs[3].job_id, jobs[3].lease_token, '{"why": "tried"}', retry_in => '1 ms');
        PERFORM durable_work.fail(jobs[4].job_id, jobs[4].lease_token, '{"why": "never"}', retryable => false);
        PERFORM durable_work.release(jobs[5].job_id, jobs[5].lease_token);
        PERFORM durable_work.complete_and_claim(ARRAY[jobs[6].job_id], ARRAY[jobs[6].lease_token], 'graves', 'churner', 1);
        COMMIT;
        PERFORM durable_work.complete(c.job_id, c.lease_token) FROM durable_work.claim('graves', 'churner', 5) c;
        -- Refused: a stale lease, no such queue, nonsense twice.
        FOR i IN 1 .. 4 LOOP
            BEGIN
                CASE i
                    WHEN 1 THEN PERFORM durable_work.complete(jobs[3].job_id, jobs[3].lease_token);
                    WHEN 2 THEN PERFORM durable_work.enqueue('nowhere', '{}');
                    WHEN 3 THEN PERFORM durable_work.claim('churn', 'churner', -1);
                    WHEN 4 THEN PERFORM durable_work.extend_lease(jobs[1].job_id, jobs[1].lease_token, '-1 s');
                END CASE;
            EXCEPTION WHEN OTHERS THEN
                caught := coalesce(caught, 0) + 1;
            END;
        END LOOP;
        COMMIT;
    END LOOP;
    INSERT INTO helper.caught VALUES ('all', caught)
        ON CONFLICT (state) DO UPDATE SET times = helper.caught.times + excluded.times;
END
$$;
SQL

my $session = new_session($node);

# Kilobytes of memory that are the process's own.
sub resident {
    my ($kilobytes) = slurp_file('/proc/' . $session->pid . '/status') =~ /^RssAnon:\s+(\d+) kB$/m;
    return $kilobytes;
}
sub contexts { return split /\|/, $session->query('SELECT sum(total_bytes), sum(used_bytes), count(*) FROM pg_backend_memory_contexts'); }

# Caches fill at first, and a queue's jobs come to have tables of their own.
$session->query('CALL helper.churn(10000)');
$session->query(q{CREATE TEMP TABLE before AS SELECT name, coalesce(ident, '') AS ident, parent, sum(used_bytes) AS used FROM pg_backend_memory_contexts GROUP BY 1, 2, 3});
contexts();
my ($total, $used, $count) = contexts();
my $resident = resident();

my $left = $calls;
while ($left > 0) {
    my $now = $left > 20_000 ? 20_000 : $left;
    $session->query("CALL helper.churn($now)");
    $left -= $now;
}

my ($total_after, $used_after, $count_after) = contexts();
my $resident_after = resident();
note("contexts: $count, $used of $total bytes; then $count_after, $used_after of $total_after bytes. Own memory: $resident kB, then $resident_after kB");
cmp_ok($used_after - $used, '<', 128 * 1024, 'no memory context holds more than before')
  or diag($session->query(q{SELECT name, c.ident, parent, sum(used_bytes) - coalesce(min(used), 0) AS more FROM pg_backend_memory_contexts c
    LEFT JOIN before b USING (name, parent) WHERE b.ident IS NULL OR b.ident = coalesce(c.ident, '') GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 10}));
cmp_ok($total_after - $total, '<', 256 * 1024, 'none is larger than before');
cmp_ok($count_after - $count, '<', 20, 'there are no more of them');
cmp_ok($resident_after - $resident, '<', 1024, 'nor has the process more memory of its own');
my $rounds = int(10_000 / 26) + int($calls / 26) - 10;
cmp_ok($session->query('SELECT times FROM helper.caught'), '>', 3 * $rounds, 'errors were caught in every round');
$session->quit;
$node->stop;
done_testing();
