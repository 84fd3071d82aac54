# The disk is full: the statement that needs more fails with the server's error and leaves nothing behind, what
# needs no space goes on, the housekeeper pauses and health() says why; with space again all goes on by itself.
#
# DW_SMALL_DISK names a small file system that the test may fill (scripts/test mounts one where it may): then the database
# lies there, and the error is ENOSPC. Without one the size of files is limited in the server's processes, and a table
# that reaches the limit fails to grow with EFBIG.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $limit = 2 * 1024 * 1024; # of files, above those of WAL
my $small = $ENV{DW_SMALL_DISK};
my $filler = defined $small ? "$small/filler" : undef;

my $node = new_server('full', bare => 1, init => { extra => ['--wal-segsize=1'] }, conf => [ 'max_wal_size = 16MB', 'log_error_verbosity = verbose' ]);
if (defined $small) {
    mkdir "$small/tablespace" or die "mkdir $small/tablespace: $!";
    $node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$small/tablespace'");
}
$node->safe_psql('postgres', 'CREATE DATABASE work' . (defined $small ? ' TABLESPACE small' : ''));
$node->safe_psql('work', 'CREATE EXTENSION durable_work');
add_helpers($node, 'work');
sub sql { return $node->safe_psql('work', $_[0]); }
sub health_of { return sql(qq{SELECT severity, seen, advice FROM durable_work.health() WHERE "check" = '$_[0]'}); }
sub becomes {
    my ($check, $severity, $name) = @_;
    ok(wait_until($node, 'work', qq{SELECT severity FROM durable_work.health() WHERE "check" = '$check'}, $severity), $name)
      or diag(health_of($check));
    return;
}

# The limit of every process of the server; new ones have it from the postmaster.
sub limit_files {
    my ($bytes) = @_;
    my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
    my @children = split ' ', slurp_file("/proc/$postmaster/task/$postmaster/children");
    for my $pid ($postmaster, @children) {
        system('prlimit', "--pid=$pid", "--fsize=$bytes:") == 0 or $pid != $postmaster or die "prlimit failed";
    }
    return;
}

sub fill_disk {
    return limit_files($limit) unless defined $filler;
    open(my $file, '>>', $filler) or die "open $filler: $!";
    my $page = "\0" x 4096;
    while (1) {
        my $written = syswrite($file, $page);
        last unless defined $written && $written == length $page;
    }
    # Some pages for the tables, so that not the very first statement fails.
    truncate($file, (-s $file) - 256 * 1024) or die "truncate $filler: $!";
    close $file;
    return;
}

sub empty_disk {
    return limit_files('unlimited') unless defined $filler;
    unlink $filler;
    return;
}

my $full = defined $small ? qr/^53100$/ : qr/^(53100|54000|58030|XX000)$/;
my $message = qr/could not (extend|write)/;

# Fills both logs up to where the limit can be met, and leaves jobs in hand.
sql(q{SELECT durable_work.create_queue('q', lease => '1 h'); SELECT durable_work.create_queue('short', lease => '1 s', backoff_base => '1 ms', backoff_cap => '1 ms');
      SELECT durable_work.create_queue('more', lease => '1 h'); CREATE TABLE helper.orders (n int);
      CREATE FUNCTION helper.noise() RETURNS text LANGUAGE sql AS $$SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 40)$$});
sql(q{SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i, 'fill', repeat(md5(i::text), 20))) FROM generate_series(1, 2000) i))});
sql(q{INSERT INTO helper.held SELECT * FROM helper.claim('q', 2000)});
sql(q{SELECT durable_work.enqueue('short', '{"n": "short"}'); SELECT durable_work.enqueue('more', '{}') FROM generate_series(1, 10)});
my $result = q{jsonb_build_object('fill', helper.noise())};
# The server itself cannot start when its recovery needs space.
sql('CHECKPOINT');

fill_disk();

# --- enqueue ----------------------------------------------------------------------------------------------
my ($enqueued, $before) = (10, 10);
my $enqueue = q{WITH business AS (INSERT INTO helper.orders VALUES (1)) SELECT durable_work.enqueue('more', jsonb_build_object('fill', helper.noise()))};
my $session = new_session($node, 'work');
my $state = 'ok';
while ($enqueued < 5000) {
    $state = $session->try($enqueue);
    last if $state ne 'ok';
    $enqueued++;
}
like($state, $full, "an enqueue fails with the server's error") or diag($session->errors);
like($session->errors, $message, 'which says what could not be done');
is($session->query(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'more' AND status = 'pending'}), $enqueued, 'all before it are there');
cmp_ok($enqueued, '>', $before, 'which are some');
is($session->query(q{SELECT count(*) FROM helper.orders}), $enqueued - $before, 'and what was to be stored with it is not');
is($session->query(q{SELECT ready, unfinished FROM durable_work.queue_stats WHERE queue = 'more'}), "$enqueued|$enqueued", 'the dispatcher knows of the same jobs');

# --- complete ----------------------------------------------------------------------------------------------
my $completed = 0;
my $complete = "SELECT durable_work.complete(job_id, token, $result) FROM (SELECT * FROM helper.held ORDER BY job_id OFFSET %d LIMIT 1) h";
while ($completed < 2000) {
    $state = $session->try(sprintf $complete, $completed);
    last if $state ne 'ok';
    $completed++;
}
like($state, $full, "a completion fails with the server's error") or diag($session->errors);
is($session->query(q{SELECT count(*) FROM durable_work.leases WHERE queue = 'q'}), 2000 - $completed, 'its lease is given back as it was');
like($session->try(sprintf $complete, $completed), $full, 'and refused again, not stale');
is($session->try(sprintf 'SELECT durable_work.extend_lease(job_id, token) FROM (SELECT * FROM helper.held ORDER BY job_id OFFSET %d LIMIT 1) h', $completed), 'ok',
    'the lease can be extended');

# --- what needs no space -------------------------------------------------------------------------------------
is($session->query(q{SELECT count(*) FROM helper.claim('more', 1)}), '1', 'jobs are handed out');
is($session->query(q{SELECT count(*) FROM helper.claim('short', 1)}), '1', 'one of them for a second');

# --- the housekeeper ------------------------------------------------------------------------------------------
ok(wait_until($node, 'work', q{SELECT substring(seen FROM 'ending leases fails.*\((\d+) times')::int >= 2 FROM durable_work.health() WHERE "check" = 'housekeeping'}),
    'the sweep fails again and again') or diag(health_of('housekeeping'));
like(health_of('housekeeping'), qr/^(warning|critical)\|.*ending leases fails: \w{5} could not .*\|Mend what the message says \(disk space/, 'health() says why');
my $told = sql(q{SELECT substring(seen FROM 'ending leases fails.*\((\d+) times') FROM durable_work.health() WHERE "check" = 'housekeeping'});
my $lines = grep { /LOG:  \w{5}: could not (extend|write)/ } split /\n/, slurp_file($node->logfile);
cmp_ok($lines, '>=', $told, 'each failure is one line in the log');
cmp_ok($lines, '<=', 20, 'and there is no flood of them');

# --- another housekeeper --------------------------------------------------------------------------------------------
my $housekeeper = housekeeper($node, 'work');
$session->query("SELECT pg_terminate_backend($housekeeper)");
ok(wait_until($node, 'work', "SELECT pid <> $housekeeper FROM pg_stat_activity WHERE backend_type = 'durable_work housekeeper' AND datname = 'work'"),
    'another housekeeper starts on the full disk');
ok(wait_until($node, 'work', q{SELECT seen ~ 'ending leases fails' FROM durable_work.health() WHERE "check" = 'housekeeping'}),
    'which fails at the same') or diag(health_of('housekeeping'));
is($session->query(q{SELECT count(*) FROM helper.claim('more', 1)}), '1', 'jobs are handed out');
$session->quit;

# --- space again --------------------------------------------------------------------------------------------------
empty_disk();
becomes('housekeeping', 'ok', 'with space again the housekeeper does what it could not do');
is(sql(q{SELECT attempt FROM helper.claim('short', 1, lease => '1 h')}), '2', 'the job whose worker is gone is handed out again');
sql(q{SELECT durable_work.enqueue('more', '{}')});
is(sql(q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'more'}), $enqueued + 1, 'jobs can be enqueued');
is(sql(sprintf "SELECT count(*) FROM helper.held h, durable_work.try_complete(h.job_id, h.token) t WHERE t = 'completed' AND h.job_id >= (SELECT job_id FROM helper.held ORDER BY job_id OFFSET %d LIMIT 1)", $completed),
    2000 - $completed, 'and completed, under the tokens that were refused before');
is(sql(q{SELECT string_agg(DISTINCT status, ',') FROM durable_work.inbox WHERE queue = 'q'}), 'completed', 'each job once');

$node->stop('immediate');
$node->start;
ok(wait_until($node, 'work', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), 'after a crash all is counted anew');
is(sql(q{SELECT string_agg(queue || ' ' || unfinished, ', ' ORDER BY queue) FROM durable_work.queue_stats}), 'more ' . ($enqueued + 1) . ', q 0, short 1', 'and there is what was there');
$node->stop;

done_testing();
