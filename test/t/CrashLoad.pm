# A mixed load of clients that write down every answer they get, and the audit of their books; meanwhile, with
# run_load, backends, the housekeeper, the clients themselves and the whole server are killed.
package CrashLoad;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use FindBin;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(can_run_load begin_load start_client end_clients wait_for_progress run_load drain_load audit_load);

my $tools = "$FindBin::RealBin/../clients";

sub can_run_load { return system(qq(/usr/bin/python3 -c 'import psycopg' 2>/dev/null)) == 0 }

# The server of the load, where its clients write, and what they are given.
my ($node, $directory, $stop_file, @client_options, %pid_of);
my $journals = 0;
my $done = 0;

# begin_load(server, more arguments of create_queue): the queue and the table of receipts, for the functions below.
sub begin_load {
    my ($server, $options) = @_;
    $node = $server;
    $directory = PostgreSQL::Test::Utils::tempdir;
    $options = $options ? ", $options" : '';
    $node->safe_psql('postgres', <<"SQL");
CREATE TABLE receipt (key text NOT NULL, job_id bigint NOT NULL, token bigint NOT NULL);
SELECT durable_work.create_queue('load', lease => '1 s', max_attempts => 10000, backoff => 'fixed', backoff_base => '20 ms'$options);
SQL
    return;
}

# start_client(options of mixed_load.py): one more, with a journal of its own. It runs until end_clients().
sub start_client {
    my (@options) = @_;
    $stop_file //= "$directory/stop-" . ($journals + 1);
    my $journal = sprintf '%s/journal-%04d', $directory, ++$journals;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>', "$journal.err" or die;
        open STDOUT, '>&', \*STDERR or die;
        exec '/usr/bin/python3', "$tools/mixed_load.py", '--dsn', $node->connstr('postgres'), '--journal', $journal,
            '--seed', $journals, '--stop-file', $stop_file, @options;
        die "exec: $!";
    }
    $pid_of{$journals} = $pid;
    return;
}

# What the clients said beside their journals.
sub complaints { return join '', map { slurp_file($_) } grep { -s } glob "$directory/journal-*.err" }

sub end_clients {
    append_to_file($stop_file, 'stop');
    undef $stop_file;
    for my $number (sort { $a <=> $b } keys %pid_of) {
        waitpid $pid_of{$number}, 0;
        is($?, 0, "client $number ended by itself") or diag(complaints());
    }
    %pid_of = ();
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

# Waits until that many more jobs have been completed, so each act meets a running load. False when a client is gone.
sub wait_for_progress {
    my ($more) = @_;
    my $wanted;
    for (1 .. 1800) {
        my $now = ask('SELECT count(*) FROM receipt');
        if (defined $now) {
            $done = $now;
            $wanted //= $now + $more;
            return 1 if $now >= $wanted;
        }
        for my $number (keys %pid_of) {
            next unless waitpid($pid_of{$number}, WNOHANG) > 0;
            diag("client $number has ended: " . complaints());
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
            waitpid delete $pid_of{$number}, 0;
            start_client(@client_options);
        }
    },
    'immediate stop' => sub { $node->stop('immediate'); $node->start; },
    'fast restart' => sub { $node->stop('fast'); $node->start; },
);

# run_load(clients => n, seconds => n, seed => n, options => [of the clients]): every act at least once, and the
# clients' orderly end.
sub run_load {
    my (%wish) = @_;
    @client_options = @{ $wish{options} // [] };
    srand($wish{seed});
    start_client(@client_options) for 1 .. $wish{clients};
    ok(wait_for_progress(300), 'the load runs') or BAIL_OUT('there is no load to test under');
    my $until = time + $wish{seconds};
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
    end_clients();
    note("$rounds rounds, $done receipts");
    return;
}

# What is left is finished by one last worker.
sub drain_load {
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
    is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'load' AND status <> 'completed'}), '0',
        'the queue can be drained');
    return;
}

# audit_load(options => [of audit.py], lies => text to be added): ok, and what it printed.
sub audit_load {
    my (%wish) = @_;
    my @journals = grep { !/\.err$/ } glob "$directory/journal-*";
    if ($wish{lies}) {
        append_to_file("$directory/lies", $wish{lies});
        push @journals, "$directory/lies";
    }
    my ($out, $err);
    my $agreed = IPC::Run::run([ '/usr/bin/python3', "$tools/audit.py", @{ $wish{options} // [] }, '--dsn', $node->connstr('postgres'), @journals ],
        '>', \$out, '2>', \$err);
    return ($agreed, $out, $err);
}

1;
