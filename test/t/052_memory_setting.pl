# durable_work.max_resident_jobs changes between restarts: whatever it was and is, every job is handed out once, in
# order, and the numbers stay exact.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('memory', conf => ['durable_work.max_resident_jobs = 4096']);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sub restart_with {
    my ($entries, $mode) = @_;
    $node->append_conf('postgresql.conf', "durable_work.max_resident_jobs = $entries");
    $node->stop($mode);
    $node->start;
    ok(wait_until($node, 'postgres', q{SELECT unfinished IS NOT NULL FROM durable_work.queue_stats WHERE queue = 'q'}), "the server starts with room for $entries");
    like(sql(q{SELECT seen FROM durable_work.health() WHERE "check" = 'memory'}), qr/ of $entries entries are in use/, 'and health() says so');
    return;
}

# Claims and completes; dies unless it gets that many.
sub work_off {
    my ($jobs) = @_;
    sql("CALL helper.work_off($jobs)");
    return;
}

sql(<<'SQL');
CREATE TABLE helper.done (job_id bigint, n int, place bigserial);
CREATE PROCEDURE helper.work_off(wanted int) LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    now_got int;
    give_up timestamptz := clock_timestamp() + interval '100 s';
BEGIN
    WHILE got < wanted LOOP
        WITH taken AS (
            INSERT INTO helper.done (job_id, n) SELECT job_id, (payload->>'n')::int FROM durable_work.claim('q', 'w', least(wanted - got, 20))
                WHERE durable_work.try_complete(job_id, lease_token) = 'completed' RETURNING 1)
        SELECT count(*) INTO now_got FROM taken;
        COMMIT;
        got := got + now_got;
        IF clock_timestamp() > give_up THEN
            RAISE EXCEPTION 'only % of % jobs could be claimed', got, wanted;
        END IF;
    END LOOP;
END
$$;
SELECT durable_work.create_queue('q', lease => '1 h');
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 3000) i));
SQL

work_off(500);
restart_with(64, 'fast');
ok(wait_until($node, 'postgres', q{SELECT severity = 'warning' FROM durable_work.health() WHERE "check" = 'memory'}), 'a backlog that fitted before is deeper than memory now');
is(sql(q{SELECT unfinished, spilled > 2400 FROM durable_work.queue_stats WHERE queue = 'q'}), '2500|t', 'and is counted');
work_off(500);
restart_with(100_000, 'immediate');
ok(wait_until($node, 'postgres', q{SELECT spilled = 0 AND ready = 2000 FROM durable_work.queue_stats WHERE queue = 'q'}), 'with more room all of it is in memory');
is(sql(q{SELECT severity FROM durable_work.health() WHERE "check" = 'memory'}), 'ok', 'and all is well');
work_off(500);
restart_with(1000, 'immediate');
work_off(1500);
is(sql('SELECT count(*), count(DISTINCT job_id) FROM helper.done'), '3000|3000', 'every job was handed out once');
is(sql(q{SELECT ready, delayed, processing, spilled, unfinished FROM durable_work.queue_stats WHERE queue = 'q'}), '0|0|0|0|0', 'none is left');
is(sql('SELECT count(*) FROM (SELECT n < lag(n) OVER (ORDER BY place) AS back FROM helper.done) o WHERE back'), '0', 'in the order in which they were enqueued');

# --- out of range -----------------------------------------------------------------------------------------
$node->append_conf('postgresql.conf', 'durable_work.max_resident_jobs = 63');
$node->restart;
like(slurp_file($node->logfile), qr/WARNING:  63 is outside the valid range for parameter "durable_work.max_resident_jobs" \(64 \.\. /,
    'what is less than the least is complained about');
like(sql(q{SELECT seen FROM durable_work.health() WHERE "check" = 'memory'}), qr/ of 262144 entries are in use/, 'and the default is used');
$node->stop;

done_testing();
