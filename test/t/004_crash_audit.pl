# Clients in a mixed load write down every answer they get while backends, the housekeeper, the
# clients themselves and the whole server are killed. Afterwards the books must agree. Meanwhile the log
# goes round: a segment a second, kept for two, with what is unfinished moved out of the way.
# DW_SOAK_SECONDS: how long (default 40).
use strict;
use warnings FATAL => 'all';

use FindBin;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use DurableWork;

plan skip_all => 'needs /usr/bin/python3 with psycopg' if system(qq(/usr/bin/python3 -c 'import psycopg' 2>/dev/null)) != 0;

my $seconds = $ENV{DW_SOAK_SECONDS} || 40;
my $clients = 10;
my $tools = "$FindBin::RealBin/../clients";
my $node = new_server('crash', conf => ['log_statement = none', 'durable_work.segment_max_age = 1s', 'durable_work.truncate_grace = 0']);
my $directory = PostgreSQL::Test::Utils::tempdir;
my $stop_file = "$directory/stop";
srand(20260101);

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE receipt (key text NOT NULL, job_id bigint NOT NULL, token bigint NOT NULL);
SELECT durable_work.create_queue('load', lease => '1 s', max_attempts => 10000, backoff => 'fixed', backoff_base => '20 ms', retention => '2 s');
SQL

my %pid_of;        # client number => process
my $journals = 0;

sub start_client {
    my ($number) = @_;
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
    return;
}

# Reads one value; undef while the server does not answer. A psql that is refused may be gone before
# the statement is written to it; then the module dies of a broken pipe.
sub ask {
    my ($sql) = @_;
    my ($status, $out) = eval { $node->psql('postgres', $sql, on_error_die => 0, on_error_stop => 1) };
    die $@ if $@ && $@ !~ /Broken pipe/;
    return defined $status && $status == 0 ? $out : undef;
}

# Waits until that many more jobs have been completed, so each act meets a running load.
my $done = 0;
sub wait_for_progress {
    my ($more) = @_;
    my $wanted = $done + $more;
    for (1 .. 1800) {
        my $now = ask('SELECT count(*) FROM receipt');
        if (defined $now) {
            $done = $now;
            return 1 if $now >= $wanted;
        }
        for my $number (keys %pid_of) {
            next unless waitpid($pid_of{$number}, WNOHANG) > 0;
            diag("client $number has ended: " . join '', map { slurp_file($_) } grep { -s } glob "$directory/journal-*.err");
            return 0;
        }
        select undef, undef, undef, 0.1;
    }
    return 0;
}

sub kill_process_of {
    my ($condition, $signal) = @_;
    my $pid = ask("SELECT pid FROM pg_stat_activity WHERE $condition ORDER BY random() LIMIT 1");
    return unless $pid;
    kill $signal, $pid;
    return;
}

my %acts = (
    'kill -9 of a backend' => sub { kill_process_of("backend_type = 'client backend' AND pid <> pg_backend_pid()", 'KILL') },
    'termination of backends' => sub {
        ask(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.4});
    },
    'cancellation of backends' => sub {
        ask(q{SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
              WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
    },
    'kill -9 of the housekeeper' => sub { kill_process_of("backend_type ~ '^durable_work.*housekeeper'", 'KILL') },
    'termination of the housekeeper' => sub { kill_process_of("backend_type ~ '^durable_work.*housekeeper'", 'TERM') },
    'kill -9 of the launcher' => sub { kill_process_of("backend_type ~ '^durable_work.*launcher'", 'KILL') },
    'kill -9 of clients' => sub {
        for my $number (keys %pid_of) {
            next if rand() > 0.3;
            kill 'KILL', $pid_of{$number};
            waitpid $pid_of{$number}, 0;
            start_client($number);
        }
    },
    'immediate stop' => sub { $node->stop('immediate'); $node->start; },
    'fast restart' => sub { $node->stop('fast'); $node->start; },
);

start_client($_) for 1 .. $clients;
ok(wait_for_progress(300), 'the load runs') or BAIL_OUT('there is no load to test under');
my $until = time + $seconds;
my $rounds = 0;
my @order;
while (time < $until || $rounds < keys %acts) {
    @order = sort keys %acts unless @order;
    my $act = splice @order, int(rand(@order)), 1;
    $rounds++;
    $acts{$act}->();
    unless (ok(wait_for_progress(150), "work goes on after $act (round $rounds)")) {
        diag(substr slurp_file($node->logfile), -3000);
        last;
    }
}

append_to_file($stop_file, 'stop');
for my $number (sort { $a <=> $b } keys %pid_of) {
    waitpid $pid_of{$number}, 0;
    is($?, 0, "client $number ended by itself") or diag(join '', map { slurp_file($_) } glob "$directory/journal-*.err");
}

# What is left is finished by one last worker.
$node->safe_psql('postgres', <<'SQL');
CREATE PROCEDURE finish_rest() LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + interval '100 s';
    refused bigint;
BEGIN
    WHILE clock_timestamp() < give_up AND EXISTS (SELECT FROM durable_work.inbox WHERE queue = 'load' AND status IN ('pending', 'processing')) LOOP
        WITH c AS MATERIALIZED (SELECT * FROM durable_work.claim('load', 'last', 100)),
             r AS MATERIALIZED (INSERT INTO receipt SELECT payload->>'key', job_id, lease_token FROM c RETURNING 1)
        SELECT count(*) INTO refused FROM c WHERE NOT durable_work.complete(job_id, lease_token);
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
CALL finish_rest();
SQL
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'load' AND status <> 'completed'}), '0', 'the queue can be drained');

ok($node->safe_psql('postgres', 'SELECT (SELECT min(id) FROM durable_work.inbox) > (SELECT min(job_id) FROM receipt)') ne 'f',
    'segments with finished jobs were emptied meanwhile');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM durable_work.segment WHERE first_id > 0'), 't', 'and others begun');

my @journals = grep { !/\.err$/ } glob "$directory/journal-*";
my ($out, $err);
my $agreed = IPC::Run::run([ '/usr/bin/python3', "$tools/audit.py", '--emptied', '--dsn', $node->connstr('postgres'), @journals ], '>', \$out, '2>', \$err);
ok($agreed, 'what the clients were told agrees with what the database holds');
note($out);
diag($out . $err) unless $agreed;
note("$rounds rounds, $done receipts");

# The auditor is no rubber stamp: it finds a lost job, a repeated token and an accepted stale token.
my $lies = "$directory/lies";
append_to_file($lies, <<'JSON');
{"did": "ask", "key": "lie"}
{"did": "enqueued", "key": "lie"}
{"did": "claimed", "job": 1, "token": 5, "asked": 1.0, "told": 1.1, "key": "lie"}
{"did": "claimed", "job": 1, "token": 5, "asked": 2.0, "told": 2.1, "key": "lie"}
{"did": "claimed", "job": 1, "token": 4, "asked": 3.0, "told": 3.1, "key": "lie"}
{"did": "completed", "job": 1, "token": 4, "asked": 4.0, "key": "lie"}
JSON
my $found;
ok(!IPC::Run::run([ '/usr/bin/python3', "$tools/audit.py", '--emptied', '--dsn', $node->connstr('postgres'), @journals, $lies ], '>', \$found, '2>', \$err),
    'planted lies are found');
like($found, qr/^broken: $_/m, "found: $_")
  for 'every acknowledged enqueue has exactly one receipt', 'no token was given twice', 'the tokens of a job rise',
  'no completion was accepted with a token', 'every acknowledged completion is kept';
is($node->safe_psql('postgres', q{SELECT n_tup_upd + n_tup_del FROM pg_stat_all_tables WHERE relid = 'durable_work.job_0'::regclass}), '0',
    'no job row was ever changed');

$node->stop;
done_testing();
