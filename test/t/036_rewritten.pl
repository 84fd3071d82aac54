# A table of the log is written anew (VACUUM FULL) at the worst moment: its housekeeper is stopped and knows jobs and outcomes
# by the pages on which they were. No job is missed and none is handed out again.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('rewritten', conf => ['durable_work.max_resident_jobs = 64', 'autovacuum = off']);
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h');
CREATE TABLE done (job_id bigint);
-- Does that many jobs, in small transactions; gives up when nothing has come for a minute.
CREATE PROCEDURE work(wanted int) LANGUAGE plpgsql AS $$
DECLARE
    got int;
    last_at timestamptz := clock_timestamp();
BEGIN
    WHILE wanted > 0 AND clock_timestamp() < last_at + interval '1 min' LOOP
        INSERT INTO done SELECT job_id FROM durable_work.claim('q', 'w', least(wanted, 16)) c WHERE durable_work.complete(c.job_id, c.lease_token);
        GET DIAGNOSTICS got = ROW_COUNT;
        COMMIT;
        wanted := wanted - got;
        IF got > 0 THEN
            last_at := clock_timestamp();
        ELSE
            PERFORM pg_sleep(0.01);
        END IF;
    END LOOP;
END $$;
SQL

# When nothing is to be done it sleeps, and holds no lock.
sub stop_housekeeper {
    my $pid = housekeeper($node, 'postgres');
    ok(wait_until($node, 'postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid"), 'the housekeeper sleeps');
    signal_stopped($pid);
    return $pid;
}

sub take_all_in_memory {
    return $node->safe_psql('postgres', q{INSERT INTO done SELECT job_id FROM durable_work.claim('q', 'w', 64) c WHERE durable_work.complete(c.job_id, c.lease_token)});
}

# --- jobs -----------------------------------------------------------------------------------------
# The rows that were rolled back go, and those behind them move to the front.
$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT count(*) FROM durable_work.enqueue_many('q', array_fill('{"n": "never"}'::jsonb, '{20000}'));
ROLLBACK;
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 2000) i));
SQL
$node->safe_psql('postgres', 'CALL work(100)');
my $pid = stop_housekeeper();
take_all_in_memory();
$node->safe_psql('postgres', 'VACUUM FULL durable_work.job_0');
kill 'CONT', $pid;
my $left = 2000 - $node->safe_psql('postgres', 'SELECT count(*) FROM done');
cmp_ok($left, '>', 1500, 'most jobs are on disk only');
$node->safe_psql('postgres', 'CALL work(' . ($left - 500) . ')');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT job_id) FROM done'), '1500|1500', 'they are found where they are now');

# --- outcomes -------------------------------------------------------------------------------------
# The loader reads outcome pages that commits have named before it reads jobs.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE held AS SELECT job_id, lease_token FROM helper.claim('q', 32);
DO $$ BEGIN
    FOR i IN 1 .. 200 LOOP
        BEGIN
            PERFORM durable_work.complete(job_id, lease_token) FROM held;
            RAISE EXCEPTION 'not yet';
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
SQL
$pid = stop_housekeeper();
$node->safe_psql('postgres', 'INSERT INTO done SELECT job_id FROM held WHERE durable_work.complete(job_id, lease_token)');
take_all_in_memory();
$node->safe_psql('postgres', 'VACUUM FULL durable_work.outcome_0');
kill 'CONT', $pid;
$left = 2000 - $node->safe_psql('postgres', 'SELECT count(*) FROM done');
cmp_ok($left, '>', 100, 'some jobs are on disk only');
$node->safe_psql('postgres', "CALL work($left)");
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT job_id) FROM done'), '2000|2000', 'what was finished is not handed out again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', 'and nothing more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE status <> 'completed'}), '0', 'all jobs are completed');
ok(wait_until($node, 'postgres', q{SELECT unfinished = 0 FROM durable_work.queue_stats}), 'the counters say so too');

# --- what is in memory knows its rows again ---------------------------------------------------------
$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT count(*) FROM durable_work.enqueue_many('q', array_fill('{"n": "never"}'::jsonb, '{20000}'));
ROLLBACK;
SELECT count(*) FROM durable_work.enqueue_many('q', array_fill('{"n": "last"}'::jsonb, '{40}'));
SQL
$node->safe_psql('postgres', 'VACUUM FULL durable_work.job_0');
ok(wait_until($node, 'postgres', q{SELECT unfinished = 40 FROM durable_work.queue_stats}), 'counted again');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT job_id) FROM helper.claim('q', 40)}), '40', 'jobs that were in memory are handed out');

$node->stop;
done_testing();
