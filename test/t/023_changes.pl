# Changes and purges over crashes, restarts, a standby, ended sessions and prepared transactions; with a
# backlog deeper than memory. What committed holds, what did not is as before.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('changes', init => { allows_streaming => 1 },
    conf => ['durable_work.max_resident_jobs = 128', 'max_prepared_transactions = 5', 'wal_level = replica']);
sub sql { return $node->safe_psql('postgres', $_[0]); }

# number -> what the inbox says of the jobs of a queue
sub jobs {
    my ($queue) = @_;
    return sql(qq{SELECT string_agg(payload->>'n' || ' ' || status || ' ' || attempts || CASE WHEN available_at > clock_timestamp() THEN ' later' ELSE '' END, ', '
        ORDER BY payload->>'n') FROM durable_work.inbox WHERE queue = '$queue'});
}
sub id_of { return sql("SELECT id FROM durable_work.inbox WHERE payload->>'n' = '$_[0]' AND status = 'pending'"); }

# --- one job: another payload, another due time, another job under its key ---------------------------
sql(<<'SQL');
SELECT durable_work.create_queue('q', backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT durable_work.enqueue('q', '{"n": "a"}');
SELECT durable_work.enqueue('q', '{"n": "b"}', delay => '30 days');
SELECT durable_work.enqueue('q', '{"n": "c"}', idempotency_key => 'c');
SELECT durable_work.enqueue('q', '{"n": "d"}', delay => '30 days');
SELECT durable_work.enqueue('q', '{"n": "e"}');
SQL
my %id = map { $_ => id_of($_) } qw(a b c d e);
is(sql("SELECT n || attempt FROM helper.claim('q', 1)"), 'a1', 'a job was tried');
sql(qq{SELECT durable_work.fail(job_id, lease_token, retry_in => '1 h') FROM durable_work.leases});
sql("SELECT durable_work.update_payload($id{a}, '{\"n\": \"a2\"}')");
sql("SELECT durable_work.reschedule($id{b}, clock_timestamp() + interval '2 s')");
sql("SELECT durable_work.enqueue('q', '{\"n\": \"c2\"}', idempotency_key => 'c', unique_while => 'pending', on_duplicate => 'replace', priority => 1)");
sql("SELECT durable_work.update_payload($id{d}, '{\"n\": \"d2\"}')");
sql("SELECT durable_work.reschedule($id{e}, clock_timestamp() + interval '40 days')");
my $session = new_session($node);
$session->query(qq{BEGIN; SELECT durable_work.update_payload($id{e}, '{"n": "lost"}'); SELECT durable_work.reschedule($id{d}, now()); SELECT durable_work.cancel($id{a})});
$node->stop('immediate');
$node->start;
ok(wait_until($node, 'postgres', q{SELECT unfinished = 5 FROM durable_work.queue_stats WHERE queue = 'q'}), 'after a crash all jobs are counted once');
like(jobs('q'), qr/^a2 pending 1 later, b pending 0( later)?, c2 pending 0, d2 pending 0 later, e pending 0 later$/, 'and they are as the committed changes left them');
is(sql("SELECT n || attempt FROM helper.claim('q', 1)"), 'c21', 'the job of the key is the new one');
is(sql("SELECT n || attempt FROM helper.claim('q', 1)"), 'b1', 'a long sleeper that was to come earlier comes by itself');
is(sql("SELECT count(*) FROM durable_work.claim('q', 'w', 10)"), '0', 'nothing else is due');
sql("SELECT durable_work.reschedule($id{$_}, now())") for qw(a d e);
is(sql("SELECT string_agg(n || attempt, ' ' ORDER BY n) FROM helper.claim('q', 3)"), 'a22 d21 e1', 'the attempt that failed before the change counts');
is(sql('SELECT count(*) FROM durable_work.leases, LATERAL durable_work.complete(job_id, lease_token)'), '5', 'all can be completed');
$node->restart;
ok(wait_until($node, 'postgres', q{SELECT unfinished = 0 FROM durable_work.queue_stats WHERE queue = 'q'}), 'after a restart none of them comes back');
is(sql("SELECT count(*) FROM durable_work.claim('q', 'w', 10)"), '0', 'also not to a worker');

# --- a prepared transaction ---------------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('q', '{"n": "p"}')});
my $p = id_of('p');
for my $change ("SELECT durable_work.update_payload($p, '1')", "SELECT durable_work.reschedule($p, now() + interval '1 h')", "SELECT durable_work.cancel_many('q', older_than => '0')") {
    is(state_of($node, 'postgres', "BEGIN; $change; PREPARE TRANSACTION 'changes'"), 'ok', "prepared: $change");
    is(sql("SELECT count(*) FROM durable_work.claim('q', 'w', 1)"), '0', 'nobody gets the job while it is');
    sql(q{ROLLBACK PREPARED 'changes'});
    ok(wait_until($node, 'postgres', q{SELECT next_action = 'claim' FROM durable_work.explain_job(} . "$p)"), 'it waits as before');
}
is(state_of($node, 'postgres', "BEGIN; SELECT durable_work.purge_queue('q'); PREPARE TRANSACTION 'changes'"), '0A000', 'a purge is refused');
is(sql("SELECT n || attempt FROM helper.claim('q', 1)"), 'p1', 'and the job is as it was');
sql('SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases');

# --- a backlog deeper than memory -----------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('deep')});
sub fill {
    my ($n) = @_;
    sql(qq{SELECT count(*) FROM durable_work.enqueue_many('deep', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, $n) n), partition_keys => ARRAY(SELECT 'key ' || n % 10 FROM generate_series(1, $n) n))});
}
sub unfinished { return sql(q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'deep'}); }
sub counted {
    my ($n, $what) = @_;
    ok(wait_until($node, 'postgres', qq{SELECT coalesce(unfinished = $n, false) FROM durable_work.queue_stats WHERE queue = 'deep'}), $what);
}
fill(3000);
$session = new_session($node);
$session->query(q{BEGIN; SELECT durable_work.purge_queue('deep')});
is(unfinished(), '3000', 'a purge that is open has ended nothing');
$node->stop('immediate');
$node->start;
counted(3000, 'after a crash in the middle of a purge all jobs are there');
is(sql(q{SELECT count(DISTINCT job_id) FROM helper.claim('deep', 20)}), '20', 'and are handed out');
$session = new_session($node);
$session->query(q{BEGIN; SELECT durable_work.purge_queue('deep')});
my $pid = $session->pid;
sql("SELECT pg_terminate_backend($pid)");
ok(wait_until($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), 'the session of a purge is ended');
is(sql(q{SELECT count(*) FROM durable_work.leases, LATERAL durable_work.complete(job_id, lease_token)}), '20', 'the leases are as before');
# More than fit into memory: the rest must be read in from disk.
is(sql(q{SELECT count(DISTINCT job_id) FROM (SELECT durable_work.complete(job_id, lease_token), job_id FROM helper.claim('deep', 60)) done}), '60', 'work goes on');
for (1 .. 3) {
    sql(q{DO $$ BEGIN FOR i IN 1..3 LOOP PERFORM durable_work.complete(job_id, lease_token) FROM helper.claim('deep', 60); COMMIT; END LOOP; END $$});
}
is(unfinished(), '2380', 'also with what is on disk');
is(sql(q{SELECT durable_work.purge_queue('deep')}), '2380', 'a purge ends all');
$node->stop('immediate');
$node->start;
counted(0, 'after a crash none of them comes back');
is(sql(q{SELECT count(*) FROM durable_work.claim('deep', 'w', 100)}), '0', 'none is handed out');
is(sql(q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM durable_work.inbox WHERE queue = 'deep' GROUP BY 1) s}),
    'cancelled 2380, completed 620', 'each has one end');

# --- many changed beside workers ------------------------------------------------------------------------
fill(3000);
sql(<<'SQL');
CREATE TABLE helper.done (job_id bigint);
CREATE PROCEDURE helper.work(wanted int) LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    n int;
    give_up timestamptz := clock_timestamp() + interval '100 s';
BEGIN
    LOOP
        WITH taken AS MATERIALIZED (SELECT * FROM durable_work.claim('deep', 'w', 7)),
            finished AS MATERIALIZED (SELECT job_id FROM taken WHERE durable_work.try_complete(job_id, lease_token) = 'completed')
        INSERT INTO helper.done SELECT job_id FROM finished;
        GET DIAGNOSTICS n = ROW_COUNT;
        got := got + n;
        COMMIT;
        EXIT WHEN got >= wanted;
        IF clock_timestamp() > give_up THEN RAISE EXCEPTION 'only % jobs', got; END IF;
        PERFORM pg_sleep(0.002) WHERE n = 0;
    END LOOP;
END $$;
CREATE PROCEDURE helper.many(call text, INOUT jobs bigint DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
    part durable_work.changed_jobs;
BEGIN
    LOOP
        BEGIN
            EXECUTE format('SELECT * FROM durable_work.%s, after_job_id => %L)', rtrim(call, ')'), part.next_after) INTO part;
            jobs := jobs + part.jobs;
        EXCEPTION WHEN SQLSTATE 'DW006' THEN
            -- All memory was taken by jobs of others; the same again.
            part.jobs := -1;
        END;
        COMMIT;
        EXIT WHEN part.next_after IS NULL AND part.jobs >= 0;
    END LOOP;
END $$;
SQL
$session = new_session($node);
$session->send('CALL helper.work(500)');
my $cancelled = sql(q{CALL helper.many($$cancel_many('deep', partition_key => 'key 3', max_jobs => 40)$$)});
my $later = sql(q{CALL helper.many($$reschedule_many('deep', now() + interval '1 day', partition_key => 'key 4', max_jobs => 40)$$)});
$session->finish_sent;
cmp_ok($cancelled, '>', 0, 'jobs of a key were cancelled beside a worker');
cmp_ok($later, '>', 0, 'jobs of another were put off');
is(sql(q{SELECT count(*) FROM helper.done JOIN durable_work.inbox ON id = job_id WHERE status <> 'completed'}), '0', 'what was completed stays so');
is(sql(q{SELECT count(*) - count(DISTINCT job_id) FROM helper.done}), '0', 'nothing was done twice');
is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'deep' AND partition_key = 'key 3' AND status = 'pending'}), '0', 'none of the key waits any more');
my $done = sql('SELECT count(*) FROM helper.done');
is(sql(qq{SELECT unfinished = 3000 - $done - $cancelled FROM durable_work.queue_stats WHERE queue = 'deep'}), 't', 'and the count is exact');

# --- a changed job of which nothing is kept -------------------------------------------------------------
# Its row in the slot is still there when the one in parked, and what it says of the end, is gone.
sql(q{SELECT durable_work.create_queue('brief', retention => '0')});
my $brief = sql(q{SELECT job_id FROM durable_work.enqueue('brief', '{"n": "brief"}')});
sql("SELECT durable_work.update_payload($brief, '{\"n\": \"changed\"}')");
is(sql(q{SELECT count(*) FROM helper.claim('brief', 1) WHERE durable_work.complete(job_id, lease_token)}), '1', 'a changed job is completed');
ok(wait_until($node, 'postgres', "SELECT count(*) = 0 FROM durable_work.parked WHERE id = $brief"), 'its retention is over');
is(state_of($node, 'postgres', "SELECT durable_work.$_"), 'DW002', "and it cannot be revived by $_")
  for "cancel($brief)", "reschedule($brief, now())", "update_payload($brief, '{}')";
is(sql(q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'brief'}), '0', 'nor does it count');
is(sql(q{SELECT count(*) FROM durable_work.claim('brief', 'w')}), '0', 'or come again');

# --- a standby that is promoted -------------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('q', '{"n": "s"}'); SELECT durable_work.enqueue('q', '{"n": "far"}', delay => '30 days')});
my ($s, $far) = (id_of('s'), id_of('far'));
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('changes_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql("SELECT durable_work.update_payload($s, '{\"n\": \"s2\"}'); SELECT durable_work.reschedule($far, now())");
is(sql(q{SELECT durable_work.purge_queue('deep')}), 3000 - $done - $cancelled, 'the rest is purged');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
ok(wait_until($standby, 'postgres', q{SELECT coalesce(unfinished = 0, false) FROM durable_work.queue_stats WHERE queue = 'deep'}), 'what was purged stays so after a promotion');
is($standby->safe_psql('postgres', q{SELECT string_agg(n, ' ' ORDER BY n) FROM helper.claim('q', 2)}), 'far s2', 'what was changed is as it was left');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('deep', 'w', 100)}), '0', 'nothing that was purged is handed out');
$standby->stop;

done_testing();
