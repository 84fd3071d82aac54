# Prepared transactions: ended by another session, after a crash, after a clean restart, and on a
# standby that was promoted. Whatever was prepared, counts are those of the log afterwards.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('main', init => { allows_streaming => 1 },
    conf => ['max_prepared_transactions = 12', 'max_wal_senders = 4']);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE business (n text);
SELECT durable_work.create_queue('q', lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT durable_work.create_queue('limited', max_length => 5);
SELECT durable_work.create_queue('grave');
SELECT durable_work.create_queue('dying', max_attempts => 1, dead_letter_queue => 'grave', lease => '1 h');
SQL

# unfinished as memory counts it, and as the log says.
sub counts_agree {
    my ($server, $what) = @_;
    my $counted = q{SELECT bool_and(s.unfinished IS NOT NULL) FROM durable_work.queue_stats s};
    my $same = q{SELECT bool_and(s.unfinished = (SELECT count(*) FROM durable_work.inbox i
        WHERE i.queue = s.queue AND i.status IN ('pending', 'processing'))) FROM durable_work.queue_stats s};
    ok(wait_until($server, 'postgres', $counted), "$what: jobs are counted");
    ok(wait_until($server, 'postgres', $same), "$what: the counts are those of the log")
      or diag $server->safe_psql('postgres', 'TABLE durable_work.queue_stats');
}

# What the queue hands out, all of it: nothing else is claimable afterwards.
sub taken {
    my ($server, $queue, $wanted) = @_;
    my $n = $server->safe_psql('postgres', <<"SQL");
CREATE TEMP TABLE t AS SELECT * FROM helper.claim('$queue', $wanted);
SELECT string_agg(n, ' ' ORDER BY n) FROM t;
SELECT count(durable_work.complete(job_id, lease_token)) FROM t WHERE n LIKE 'none%';
SQL
    my ($names) = split /\n/, $n;
    return $names;
}

sub nothing_claimable {
    my ($server, $queue) = @_;
    return $server->safe_psql('postgres', "SELECT count(*) FROM durable_work.claim('$queue', 'w', 100)") eq '0';
}

# One of each kind of thing, in prepared transactions that are to be committed and to be rolled back.
sub prepare_all {
    my ($server, $life) = @_;
    $server->safe_psql('postgres', <<"SQL");
SELECT count(*) FROM durable_work.enqueue_many('q', ARRAY(SELECT jsonb_build_object('n', '$life ' || i) FROM generate_series(1, 6) i));
SELECT durable_work.enqueue('dying', '{"n": "$life dying"}');
SELECT durable_work.enqueue('q', '{"n": "$life late"}', delay => '1 h');
SELECT durable_work.enqueue('q', '{"n": "$life sleeper"}', delay => '10 days');
TRUNCATE helper.held;
INSERT INTO helper.held SELECT * FROM helper.claim('q', 6);
INSERT INTO helper.held SELECT * FROM helper.claim('dying', 1);
SQL
    for my $end ('commit', 'rollback') {
        my ($a, $b, $c) = $end eq 'commit' ? (1, 2, 3) : (4, 5, 6);
        $server->safe_psql('postgres', <<"SQL");
BEGIN;
INSERT INTO business VALUES ('$life $end');
SELECT durable_work.enqueue('q', '{"n": "$life new $end"}');
SAVEPOINT s;
SELECT durable_work.enqueue('q', '{"n": "$life undone"}');
ROLLBACK TO s;
SAVEPOINT s;
SELECT durable_work.enqueue('q', '{"n": "$life inner $end"}', delay => '20 days');
RELEASE s;
SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '$life $a';
PREPARE TRANSACTION '$life $end 1';
BEGIN;
SELECT durable_work.fail(job_id, token, '"why"', retry_in => '0') FROM helper.held WHERE n = '$life $b';
PREPARE TRANSACTION '$life $end 2';
BEGIN;
SELECT durable_work.enqueue('limited', '{"n": "$life"}');
SELECT durable_work.release(job_id, token) FROM helper.held WHERE n = '$life $c';
PREPARE TRANSACTION '$life $end 3';
SQL
    }
    $server->safe_psql('postgres', <<"SQL");
BEGIN;
SELECT durable_work.reject(job_id, token, 'poison') FROM helper.held WHERE n = '$life dying';
PREPARE TRANSACTION '$life commit 4';
BEGIN;
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE payload->>'n' = '$life late';
PREPARE TRANSACTION '$life commit 5';
BEGIN;
SELECT durable_work.update_payload(id, '{"n": "$life changed"}'), durable_work.reschedule(id, now() - interval '1 s')
    FROM durable_work.inbox WHERE payload->>'n' = '$life sleeper';
PREPARE TRANSACTION '$life commit 6';
SQL
    return;
}

sub end_all {
    my ($server, $life) = @_;
    my $ends = $server->safe_psql('postgres', <<"SQL");
SELECT CASE WHEN gid LIKE '%commit%' THEN 'COMMIT' ELSE 'ROLLBACK' END || ' PREPARED ' || quote_literal(gid)
    FROM pg_prepared_xacts WHERE gid LIKE '$life %' ORDER BY gid;
SQL
    is(scalar(my @all = split(/\n/, $ends)), 9, "$life: nine transactions are prepared");
    $server->safe_psql('postgres', join(";\n", @all));
    return;
}

# leases: those of before are still there.
sub check_ends {
    my ($server, $life, $leases) = @_;
    my @names = map { "$life $_" } $leases ? ('2', '3', 'changed', 'new commit') : ('2', '3', '4', '5', '6', 'changed', 'new commit');
    is(taken($server, 'q', scalar @names), join(' ', sort @names), "$life: what is due is handed out, once");
    ok(nothing_claimable($server, 'q'), "$life: nothing more");
    is(taken($server, 'grave', 1), "$life dying", "$life: the dead letter's queue has its job");
    is($server->safe_psql('postgres', "SELECT n FROM business WHERE n LIKE '$life%'"), "$life commit", "$life: business rows went the same way");
    is($server->safe_psql('postgres', <<"SQL"), "$life 1:completed $life changed:processing $life dying:dead_letter $life dying:processing $life inner commit:pending $life late:cancelled", "$life: outcomes");
SELECT string_agg(n || ':' || status, ' ' ORDER BY n, status) FROM (SELECT payload->>'n' AS n, status FROM durable_work.inbox WHERE queue <> 'limited') i
    WHERE n IN ('$life 1', '$life late', '$life dying', '$life changed', '$life inner commit', '$life inner rollback', '$life undone', '$life new rollback');
SQL
    is($server->safe_psql('postgres', <<"SQL"), $leases ? 'ok ok ok' : 'stale stale stale', "$life: leases of rolled back decisions");
SELECT string_agg(CASE durable_work.try_complete(job_id, token) WHEN 'completed' THEN 'ok' ELSE 'stale' END, ' ') FROM helper.held WHERE n IN ('$life 4', '$life 5', '$life 6');
SQL
    is($server->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('limited', 'w', 10)}), '1', "$life: one of two jobs of the limited queue");
    counts_agree($server, $life);
    $server->safe_psql('postgres', "SELECT durable_work.try_complete(job_id, lease_token) FROM durable_work.leases");
    return;
}

# --- by another session -----------------------------------------------------------------------------
prepare_all($node, 'live');
ok(nothing_claimable($node, 'q') && nothing_claimable($node, 'dying'), 'live: nothing is handed out while it is prepared');
is(state_of($node, 'postgres', q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = 'live 1'}), 'DW006', 'live: the job is in doubt');
counts_agree($node, 'live, prepared');
end_all($node, 'live');
check_ends($node, 'live', 1);

# --- after a crash, after a clean restart -----------------------------------------------------------
for my $life ('crash', 'clean') {
    prepare_all($node, $life);
    $node->stop($life eq 'crash' ? 'immediate' : 'fast');
    $node->start;
    housekeeper($node, 'postgres');
    counts_agree($node, "$life, prepared");
    is(state_of($node, 'postgres', qq{SELECT durable_work.cancel(job_id) FROM helper.held WHERE n = '$life 1'}), 'DW006',
        "$life: a job that is being completed cannot be cancelled");
    end_all($node, $life);
    check_ends($node, $life, 0);
}

$node->stop;
done_testing();
