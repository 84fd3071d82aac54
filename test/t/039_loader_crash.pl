# The server is killed, and fails, in every phase of the loader and of a commit, while clients work on
# a backlog far deeper than memory. Afterwards the books of the clients must agree with the log: no
# job lost, none done twice; the counts are exact, and what waits is handed out in its order.
use strict;
use warnings FATAL => 'all';

use FindBin;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

plan skip_all => 'needs /usr/bin/python3 with psycopg' if system(qq(/usr/bin/python3 -c 'import psycopg' 2>/dev/null)) != 0;

my @loader = map { "loader-$_" } qw(chosen marks snapshot outcomes page rows committed ended);
my @commit = qw(pre-commit pre-commit-linked commit-callback);
my $clients = 4;
my $tools = "$FindBin::RealBin/../clients";
my $node = new_server('points', conf => [ 'log_statement = none', 'durable_work.max_resident_jobs = 256' ]);
my $directory = PostgreSQL::Test::Utils::tempdir;
my $stop_file = "$directory/stop";
my $point_file = point_file($node);

# Reads one value; undef while the server does not answer.
sub ask {
    my ($sql) = @_;
    my ($status, $out) = eval { $node->psql('postgres', $sql, on_error_die => 0, on_error_stop => 1) };
    die $@ if $@ && $@ !~ /Broken pipe/;
    return defined $status && $status == 0 ? $out : undef;
}

sub ask_until {
    my ($sql, $good) = @_;
    for (1 .. 1800) {
        my $now = ask($sql);
        return $now if defined $now && $good->($now);
        select undef, undef, undef, 0.1;
    }
    die "still not so: $sql";
}

# A build without test points never comes to one.
arm_point($node, 'pre-commit', 'error', 1);
my $armed = ask(q{SELECT durable_work.create_queue('line', lease => '1 h')});
if (-e $point_file) {
    unlink $point_file;
    $node->stop;
    plan skip_all => 'needs a build with DW_TEST_POINTS=1';
}
is($armed, undef, 'a commit that fails at a test point raises an error');

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE receipt (key text NOT NULL, job_id bigint NOT NULL, token bigint NOT NULL);
SELECT durable_work.create_queue('load', lease => '1 s', max_attempts => 10000, backoff => 'fixed', backoff_base => '20 ms');
SELECT durable_work.create_queue('line', lease => '1 h');
CREATE TABLE helper.done (job_id bigint, place bigserial);
CREATE PROCEDURE helper.work_off() LANGUAGE plpgsql AS $$
DECLARE
    mine record;
    finished bigint := (SELECT count(*) FROM helper.done);
BEGIN
    WHILE finished < 3000 LOOP
        SELECT array_agg(job_id) AS jobs, array_agg(lease_token) AS tokens, count(*) AS n INTO mine FROM durable_work.claim('line', 'w', 7);
        IF mine.n > 0 THEN
            INSERT INTO helper.done SELECT j FROM unnest(mine.jobs) j;
            PERFORM durable_work.complete_many(mine.jobs, mine.tokens);
            finished := finished + mine.n;
        END IF;
        COMMIT;
    END LOOP;
END
$$;
SQL

# --- one producer, one worker: order and counts ----------------------------------------------------
$node->safe_psql('postgres',
    q{SELECT count(*) FROM durable_work.enqueue_many('line', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 3000) i))});
for my $point (@loader) {
    arm_point($node, $point, 'crash', 2);
    my $worker = new_session($node);
    $worker->send('CALL helper.work_off()');
    ok(point_fired($node), "the server was killed at $point");
    $worker->finish_sent;
    $worker->quit;
    ask_until(q{SELECT coalesce(unfinished, -1) FROM durable_work.queue_stats WHERE queue = 'line'}, sub { $_[0] >= 0 });
    is(ask(q{SELECT unfinished - (3000 - (SELECT count(*) FROM helper.done)) FROM durable_work.queue_stats WHERE queue = 'line'}), '0',
        'the count is exact after it');
}
is(state_of($node, 'postgres', 'CALL helper.work_off()'), 'ok', 'the rest is worked off');
is(ask('SELECT count(*), count(DISTINCT job_id) FROM helper.done'), '3000|3000', 'every job was done once');
is(ask('SELECT count(*) FROM (SELECT job_id < lag(job_id) OVER (ORDER BY place) AS late FROM helper.done) d WHERE late'), '0', 'and in its order');

# --- clients in a mixed load -----------------------------------------------------------------------
my $journals = 0;
my $keys = 0;
sub deepen {
    my ($jobs) = @_;
    my @new = map { 'deep-' . ++$keys } 1 .. $jobs;
    my $journal = "$directory/journal-deep";
    append_to_file($journal, join '', map { qq({"did": "ask", "key": "$_"}\n) } @new);
    my $from = $keys - $jobs + 1;
    ask_until(
        "SELECT count(*) FROM durable_work.enqueue_many('load', (SELECT array_agg(jsonb_build_object('key', 'deep-' || i) ORDER BY i) FROM generate_series($from, $keys) i)) WHERE NOT EXISTS (SELECT FROM durable_work.inbox WHERE queue = 'load' AND payload->>'key' = 'deep-$from')",
        sub { 1 });
    append_to_file($journal, join '', map { qq({"did": "enqueued", "key": "$_"}\n) } @new);
    return;
}

my %pid_of;
for my $number (1 .. $clients) {
    my $journal = sprintf '%s/journal-%04d', $directory, ++$journals;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>', "$journal.err" or die;
        open STDOUT, '>&', \*STDERR or die;
        exec '/usr/bin/python3', "$tools/mixed_load.py", '--dsn', $node->connstr('postgres'), '--journal', $journal,
            '--seed', $journals, '--stop-file', $stop_file;
        die "exec: $!";
    }
    $pid_of{$number} = $pid;
}

for my $act ((map { [ $_, 'crash' ] } @loader, @commit), (map { [ $_, 'error' ] } @loader, 'pre-commit', 'pre-commit-linked')) {
    my ($point, $action) = @$act;
    deepen(600);
    my $before = ask_until('SELECT count(*) FROM receipt', sub { 1 });
    arm_point($node, $point, $action, 3);
    ok(point_fired($node), "$action at $point");
    ask_until('SELECT count(*) FROM receipt', sub { $_[0] >= $before + 20 });
}

append_to_file($stop_file, 'stop');
for my $number (sort { $a <=> $b } keys %pid_of) {
    waitpid $pid_of{$number}, 0;
    is($?, 0, "client $number ended by itself") or diag(join '', map { slurp_file($_) } glob "$directory/journal-*.err");
}
$node->safe_psql('postgres', <<'SQL');
CREATE PROCEDURE finish_rest() LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + interval '150 s';
    refused bigint;
BEGIN
    WHILE clock_timestamp() < give_up AND (SELECT unfinished IS DISTINCT FROM 0 FROM durable_work.queue_stats WHERE queue = 'load') LOOP
        WITH c AS MATERIALIZED (SELECT * FROM durable_work.claim('load', 'last', 100)),
             r AS MATERIALIZED (INSERT INTO receipt SELECT payload->>'key', job_id, lease_token FROM c RETURNING 1)
        SELECT count(*) INTO refused FROM c WHERE NOT durable_work.complete(job_id, lease_token);
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
END
$$;
CALL finish_rest();
SQL
is(ask(q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'load'}), '0', 'by the counts nothing is left');
is(ask(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'load' AND status <> 'completed'}), '0', 'nor by the log');

my @journals = grep { !/\.err$/ } glob "$directory/journal-*";
my ($out, $err);
my $agreed = IPC::Run::run([ '/usr/bin/python3', "$tools/audit.py", '--dsn', $node->connstr('postgres'), @journals ], '>', \$out, '2>', \$err);
ok($agreed, 'what the clients were told agrees with what the database holds');
note($out);
diag($out . $err) unless $agreed;

$node->stop;
done_testing();
