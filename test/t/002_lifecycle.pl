# Extension and databases come and go; the housekeeper follows them, and comes back whatever ends it.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('lifecycle', bare => 1, conf => [ "durable_work.max_wait = '5 s'" ]);
my $housekeepers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^durable_work.*housekeeper'};

sub install {
    my ($database) = @_;
    $node->safe_psql($database, 'CREATE EXTENSION durable_work');
    return;
}

# Enqueues one job in that database and claims it again.
my $number = 0;
sub works {
    my ($database, $what) = @_;
    $number++;
    my $sql = <<"SQL";
SELECT durable_work.create_queue('smoke');
SELECT durable_work.enqueue('smoke', '{"n": $number}');
SQL
    $node->safe_psql($database, $sql);
    is($node->safe_psql($database, <<'SQL'), $number, $what);
CREATE TEMP TABLE got (n text);
DO $$
BEGIN
    FOR i IN 1 .. 10000 LOOP
        INSERT INTO got SELECT payload->>'n' FROM durable_work.claim('smoke', 'w');
        EXIT WHEN FOUND;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT string_agg(n, ',') FROM got;
SQL
    return;
}

# --- the first database ---------------------------------------------------------------------------
wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type ~ '^durable_work.*launcher'");
pass('the launcher runs without any database that has the extension');
install('postgres');
is($node->safe_psql('postgres', <<'SQL'), '1', 'right after CREATE EXTENSION a job can be enqueued and claimed');
DO $$ BEGIN PERFORM durable_work.create_queue('q'); END $$;
SELECT FROM durable_work.enqueue('q', '{"n": 1}');
SELECT payload->>'n' FROM durable_work.claim('q', 'w');
SQL
my $first = housekeeper($node, 'postgres');
is($node->safe_psql('postgres', "SELECT application_name <> '' OR backend_type <> '' FROM pg_stat_activity WHERE pid = $first"),
    't', 'the housekeeper is named in pg_stat_activity');
ok(wait_until($node, 'postgres', <<"SQL"), 'a sleeping housekeeper says what it waits for, and holds no snapshot, transaction or table lock');
SELECT coalesce((SELECT wait_event IS NOT NULL AND backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL
                 FROM pg_stat_activity WHERE pid = $first), false)
       AND NOT EXISTS (SELECT FROM pg_locks WHERE pid = $first AND locktype = 'relation')
SQL

# --- several databases ----------------------------------------------------------------------------
for my $database (qw(one two three)) {
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    install($database);
}
housekeeper($node, $_) for qw(one two three);
ok(wait_until($node, 'postgres', "SELECT ($housekeepers) = 4"), 'each database with the extension has its housekeeper');
$node->safe_psql($_, <<"SQL") for qw(one two);
SELECT durable_work.create_queue('mine');
SELECT durable_work.enqueue('mine', jsonb_build_object('n', current_database()));
SQL
is($node->safe_psql('one', q{SELECT payload->>'n' FROM durable_work.claim('mine', 'w', 10)}), 'one', 'jobs do not cross databases (1)');
is($node->safe_psql('two', q{SELECT payload->>'n' FROM durable_work.claim('mine', 'w', 10)}), 'two', 'jobs do not cross databases (2)');

# --- drop and create again ------------------------------------------------------------------------
$node->safe_psql('one', q{SELECT durable_work.enqueue('mine', '{"n": "old"}')});
$node->safe_psql('one', 'DROP EXTENSION durable_work CASCADE');
ok(wait_until($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'one')"),
    'the housekeeper leaves a database whose extension was dropped');
install('one');
works('one', 'the extension works after it was created again');
is($node->safe_psql('one', q{SELECT count(*) FROM durable_work.inbox WHERE payload->>'n' = 'old'}), '0', 'nothing is left of the dropped one');
housekeeper($node, 'one');

$node->safe_psql('one', q{SELECT durable_work.enqueue('smoke', '{"n": "gone"}')});
$node->safe_psql('one', 'BEGIN; DROP EXTENSION durable_work CASCADE; CREATE EXTENSION durable_work; COMMIT');
works('one', 'DROP and CREATE EXTENSION in one transaction');
housekeeper($node, 'one');

$node->safe_psql('one', q{SELECT durable_work.enqueue('smoke', '{"n": "kept"}')});
$node->safe_psql('one', 'BEGIN; DROP EXTENSION durable_work CASCADE; ROLLBACK');
is($node->safe_psql('one', q{SELECT count(*) FROM durable_work.inbox WHERE status = 'pending' AND payload->>'n' = 'kept'}), '1',
    'a rolled back DROP EXTENSION loses nothing');
ok(wait_until($node, 'one', q{SELECT count(*) = 1 FROM durable_work.claim('smoke', 'w', 1)}), 'and the job is handed out');

$node->safe_psql('postgres', 'CREATE DATABASE four');
$node->safe_psql('four', 'BEGIN; CREATE EXTENSION durable_work; ROLLBACK');
$node->safe_psql('four', <<'SQL');
BEGIN;
CREATE EXTENSION durable_work;
SELECT durable_work.create_queue('q');
SELECT FROM durable_work.enqueue('q', '{"n": "fresh"}');
COMMIT;
SQL
ok(wait_until($node, 'four', q{SELECT payload->>'n' FROM durable_work.claim('q', 'w')}, 'fresh'),
    'extension, queue and job made in one transaction, after one that was rolled back');

# --- databases that go, are copied, are renamed ---------------------------------------------------
for my $round (1 .. 5) {
    $node->safe_psql('postgres', "CREATE DATABASE shortlived");
    install('shortlived');
    housekeeper($node, 'shortlived') if $round % 2;
    is(state_of($node, 'postgres', 'DROP DATABASE shortlived'), 'ok', "DROP DATABASE is not blocked ($round)");
}
is(state_of($node, 'postgres', 'DROP DATABASE three'), 'ok', 'DROP DATABASE of an old one is not blocked');
ok(wait_until($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'three')"), 'and its housekeeper is gone');

$node->safe_psql('two', q{SELECT durable_work.enqueue('mine', '{"n": "copied"}')});
is(state_of($node, 'postgres', 'CREATE DATABASE twin TEMPLATE two'), 'ok', 'CREATE DATABASE ... TEMPLATE is not blocked');
housekeeper($node, $_) for qw(two twin);
for my $database (qw(two twin)) {
    ok(wait_until($node, $database, q{SELECT count(*) = 1 FROM durable_work.claim('mine', 'w', 1) WHERE payload->>'n' = 'copied'}),
        "the job is handed out in $database");
}
cmp_ok($node->safe_psql('twin', 'SELECT max(value) FROM durable_work.epoch'), '>=',
    $node->safe_psql('two', 'SELECT min(value) FROM durable_work.epoch') + 65536, 'the copy takes epochs of its own');
is(state_of($node, 'postgres', 'ALTER DATABASE twin RENAME TO sibling'), 'ok', 'ALTER DATABASE ... RENAME is not blocked');
works('sibling', 'the renamed database works');

# --- the housekeeper ends -------------------------------------------------------------------------
my $before = housekeeper($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('leased', lease => '1 s', backoff_base => '0', jitter => 0);
SELECT durable_work.enqueue('leased', '{"n": 1}');
SELECT durable_work.claim('leased', 'w');
SQL
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($before)"), 't', 'the housekeeper is terminated');
ok(wait_until($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $before)"), 'it ends');
isnt(housekeeper($node, 'postgres'), $before, 'and another one starts');
ok(wait_until($node, 'postgres', q{SELECT count(*) = 1 FROM durable_work.claim('leased', 'w') WHERE attempt = 2}),
    'which takes back the lease that ran out meanwhile');

# --- settings -------------------------------------------------------------------------------------
is(state_of($node, 'postgres', q{CALL durable_work.wait_for_work('{leased}', '6 s')}), '22023', 'max_wait is 5 s');
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('timer');
SELECT durable_work.enqueue('timer', '{"n": "near"}', delay => '5 min');
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM durable_work.parked'), '0', 'a job due in five minutes is within the default horizon');
$node->append_conf('postgresql.conf', "durable_work.max_wait = '2 min'\ndurable_work.timer_horizon = '10 s'");
$node->reload;
ok(wait_until($node, 'postgres', q{SELECT current_setting('durable_work.max_wait') = '2min'}), 'the settings are read again');
$node->safe_psql('postgres', q{SELECT durable_work.enqueue('timer', '{"n": "far"}', delay => '5 min');
    SELECT durable_work.enqueue('timer', '{"n": "now"}')});
is($node->safe_psql('postgres', q{SELECT string_agg(payload->>'n', ',') FROM durable_work.parked}), 'far', 'with a horizon of 10 s it is parked');
is(state_of($node, 'postgres', q{CALL durable_work.wait_for_work('{timer}', '6 s')}), 'ok', 'a wait of 6 s is allowed now');
$node->safe_psql('postgres', 'ALTER SYSTEM SET durable_work.max_resident_jobs = 5000');
$node->reload;
ok(wait_until($node, 'postgres', q{SELECT pending_restart FROM pg_settings WHERE name = 'durable_work.max_resident_jobs'}),
    'max_resident_jobs waits for a restart');
is(state_of($node, 'postgres', q{ALTER SYSTEM SET durable_work.max_resident_jobs = 63}), '22023', 'its least value is 64');

# --- kill -9 --------------------------------------------------------------------------------------
$before = housekeeper($node, 'postgres');
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
kill('KILL', $before) or die "could not kill $before: $!";
ok(wait_until($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $before)"), 'kill -9 of the housekeeper');
isnt(housekeeper($node, 'postgres'), $before, 'another one runs after the crash restart');
ok(wait_until($node, 'postgres', q{SELECT count(*) = 1 FROM durable_work.claim('timer', 'w') WHERE payload->>'n' = 'now'}),
    'and jobs are handed out');
housekeeper($node, $_) for qw(one two four sibling);
pass('every database has its housekeeper again');
$node->stop;

# --- too few worker slots -------------------------------------------------------------------------
my $tight = new_server('tight', bare => 1, conf => [ 'max_worker_processes = 2', 'max_logical_replication_workers = 0' ]);
$tight->safe_psql('postgres', 'CREATE EXTENSION durable_work');
for my $database (qw(one two)) {
    $tight->safe_psql('postgres', "CREATE DATABASE $database");
    $tight->safe_psql($database, 'CREATE EXTENSION durable_work');
}
ok(wait_for_log_line($tight, qr/max_worker_processes/), 'the log says when there are too few worker slots, and which setting to raise');
$tight->stop;

sub wait_for_log_line {
    my ($server, $pattern) = @_;
    for (1 .. 1800) {
        return 1 if slurp_file($server->logfile) =~ $pattern;
        select(undef, undef, undef, 0.1);
    }
    return 0;
}

done_testing();
