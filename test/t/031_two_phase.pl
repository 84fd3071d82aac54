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
    return $server->safe_psql('postgres', "SELECT string_agg(n, ' ' ORDER BY n) FROM helper.claim('$queue', $wanted)");
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

# --- the housekeeper is ended while transactions are prepared -----------------------------------------
prepare_all($node, 'taken');
my $first = housekeeper($node, 'postgres');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($first)");
ok(wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type ~ '^durable_work.*housekeeper' AND datname = 'postgres' AND pid <> $first"),
    'another housekeeper takes over');
ok(nothing_claimable($node, 'q'), 'taken: nothing is handed out while it is prepared');
end_all($node, 'taken');
check_ends($node, 'taken', 1);

# --- a standby is promoted ----------------------------------------------------------------------------
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
prepare_all($node, 'moved');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
housekeeper($standby, 'postgres');
counts_agree($standby, 'moved, prepared');
is(state_of($standby, 'postgres', q{SELECT durable_work.cancel(job_id) FROM helper.held WHERE n = 'moved 1'}), 'DW006',
    'moved: a job that is being completed cannot be cancelled');
end_all($standby, 'moved');
check_ends($standby, 'moved', 0);

# --- many at once, and no more than the server has room for -------------------------------------------
my $server = $standby;
$server->safe_psql('postgres', join(";\n", map { "BEGIN; SELECT durable_work.enqueue('q', '{\"n\": \"many $_\"}'); PREPARE TRANSACTION 'many $_'" } 11 .. 22));
is(state_of($server, 'postgres', q{BEGIN; SELECT durable_work.enqueue('q', '{"n": "many"}'); PREPARE TRANSACTION 'many'}), '53200',
    'the server refuses one more');
ok(nothing_claimable($server, 'q'), 'many: nothing is handed out while it is prepared');
$server->restart;
housekeeper($server, 'postgres');
$server->safe_psql('postgres', join(";\n", map { ($_ % 2 ? 'COMMIT' : 'ROLLBACK') . " PREPARED 'many $_'" } 11 .. 22));
is(taken($server, 'q', 6), join(' ', map { "many $_" } 11, 13, 15, 17, 19, 21), 'many: those that committed');
ok(nothing_claimable($server, 'q'), 'many: nothing more');
counts_agree($server, 'many');
# Through the same place again and again.
my $rounds = 300;
$server->safe_psql('postgres', join(";\n", map { "BEGIN; SELECT durable_work.enqueue('q', '{\"n\": \"round\"}'); PREPARE TRANSACTION 'round'; COMMIT PREPARED 'round'" } 1 .. $rounds));
is($server->safe_psql('postgres', "SELECT count(*) FROM helper.claim('q', $rounds)"), $rounds, 'many: one after the other');
counts_agree($server, 'rounds');
$server->safe_psql('postgres', 'SELECT durable_work.try_complete(job_id, lease_token) FROM durable_work.leases');

# --- another database, and the extension made anew ----------------------------------------------------
$server->safe_psql('postgres', 'CREATE DATABASE other');
$server->safe_psql('other', 'CREATE EXTENSION durable_work');
add_helpers($server, 'other');
$server->safe_psql('other', q{SELECT durable_work.create_queue('q')});
for my $database ('postgres', 'other') {
    $server->safe_psql($database, qq{BEGIN; SELECT durable_work.enqueue('q', '{"n": "$database"}'); PREPARE TRANSACTION '$database'});
}
$server->stop('immediate');
$server->start;
housekeeper($server, $_) for 'postgres', 'other';
is($server->safe_psql('other', q{SET lock_timeout = '100ms'; SELECT count(*) FROM durable_work.queue_stats WHERE unfinished > 0}), '0', 'nothing in the other database yet');
is(state_of($server, 'other', q{SET lock_timeout = '100ms'; DROP EXTENSION durable_work}), '55P03', 'the extension cannot be dropped from under it');
$server->safe_psql($_, "COMMIT PREPARED '$_'") for 'postgres', 'other';
is($server->safe_psql($_, q{SELECT n FROM helper.claim('q', 1)}), $_, "its job is handed out in $_") for 'postgres', 'other';
$server->safe_psql('other', <<'SQL');
BEGIN;
SELECT durable_work.enqueue('q', '{"n": "gone"}');
PREPARE TRANSACTION 'gone';
ROLLBACK PREPARED 'gone';
DROP EXTENSION durable_work CASCADE;
CREATE EXTENSION durable_work;
SELECT durable_work.create_queue('q');
BEGIN;
SELECT durable_work.enqueue('q', '{"n": "anew"}');
PREPARE TRANSACTION 'anew';
COMMIT PREPARED 'anew';
SQL
is($server->safe_psql('other', q{SELECT n FROM helper.claim('q', 1)}), 'anew', 'and in an extension that was made anew');

$server->stop;

# --- a transaction that was prepared before a start and outlives what ended since -----------------------------
$server->start;
$server->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('brief', retention => '0');
SELECT durable_work.enqueue('brief', '{"n": "brief"}');
SELECT durable_work.update_payload(id, '{"n": "changed"}') FROM durable_work.inbox WHERE queue = 'brief';
BEGIN;
SELECT durable_work.enqueue('brief', '{"n": "prepared"}');
PREPARE TRANSACTION 'before';
SQL
$server->stop('immediate');
$server->start;
ok(wait_until($server, 'postgres', q{SELECT unfinished = 1 FROM durable_work.queue_stats WHERE queue = 'brief'}), 'a job is counted after the start');
my $brief = $server->safe_psql('postgres', q{SELECT id FROM durable_work.inbox WHERE queue = 'brief'});
is($server->safe_psql('postgres', q{SELECT count(*) FROM helper.claim('brief', 1) WHERE durable_work.complete(job_id, lease_token)}), '1', 'it was changed, and is completed');
# Removed in the same walk, before parked; the second one by the next walk at the earliest.
for my $walk (1, 2) {
    $server->safe_psql('postgres', "SELECT durable_work.mark_handled('walk', '$walk', '1 s')");
    ok(wait_until($server, 'postgres', 'SELECT count(*) = 0 FROM durable_work.handled'), "walk $walk of what is past its time");
}
$server->safe_psql('postgres', q{COMMIT PREPARED 'before'});
is($server->safe_psql('postgres', q{SELECT n FROM helper.claim('brief', 1)}), 'prepared', 'what was prepared comes');
counts_agree($server, 'counted again');
ok(wait_until($server, 'postgres', "SELECT count(*) = 0 FROM durable_work.parked WHERE id = $brief"), 'then what has ended goes');
$server->stop;

# --- the server does not prepare at all ---------------------------------------------------------------
$server->append_conf('postgresql.conf', 'max_prepared_transactions = 0');
$server->start;
is(state_of($server, 'postgres', q{BEGIN; SELECT durable_work.enqueue('q', '{}'); PREPARE TRANSACTION 'none'}), '55000', 'without room for any the server says so');
$server->stop;
done_testing();
