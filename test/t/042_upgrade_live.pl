# ALTER EXTENSION UPDATE while clients produce and work. First to SQL that the library serves, with a script that locks
# every table and replaces every function: service goes on. Then to SQL that it does not serve and back, also with a
# restart in between, as in an upgrade of both: calls are refused with DW007 and nothing else happens. Afterwards the
# books must agree.
use strict;
use warnings FATAL => 'all';

use FindBin;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;
use Installation;

plan skip_all => 'needs /usr/bin/python3 with psycopg' if system(qq(/usr/bin/python3 -c 'import psycopg' 2>/dev/null)) != 0;

my $installation = new_installation();
my $current = $installation->current;
my $replace = <<'SQL';
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'r' ORDER BY relname LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', one.name);
    END LOOP;
    FOR one IN SELECT oid FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace LOOP
        EXECUTE pg_get_functiondef(one.oid);
    END LOOP;
    FOR one IN SELECT oid::regclass AS name, pg_get_viewdef(oid) AS text FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'v' LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', one.name, one.text);
    END LOOP;
END
$$;
ALTER TABLE durable_work.handled ADD COLUMN added int;
ALTER TABLE durable_work.handled DROP COLUMN added;
SQL
$installation->write_script("$current--$current-1", $replace);
$installation->write_script("$current-1--$current", $replace);
$installation->write_script("$current--98.0.0", $replace);
$installation->write_script("98.0.0--$current", $replace);

my $node = new_server('live', installation => $installation, conf => [ 'log_statement = none', q{deadlock_timeout = '100 ms'} ]);
my $tools = "$FindBin::RealBin/../clients";
my $directory = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE receipt (key text NOT NULL, job_id bigint NOT NULL, token bigint NOT NULL);
SELECT durable_work.create_queue('load', lease => '1 s', max_attempts => 10000, backoff => 'fixed', backoff_base => '20 ms');
SQL

my @clients;
my $journals = 0;

# Some clients, which take nothing but the SQLSTATE for an answer that refuses.
sub start_clients {
    my ($stop_file, @refused) = @_;
    for (1 .. 6) {
        my $journal = sprintf '%s/journal-%03d', $directory, ++$journals;
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            open STDERR, '>', "$journal.err" or die;
            open STDOUT, '>&', \*STDERR or die;
            exec '/usr/bin/python3', "$tools/mixed_load.py", '--dsn', $node->connstr('postgres'), '--journal', $journal, '--seed', $journals,
                '--stop-file', $stop_file, @refused;
            die "exec: $!";
        }
        push @clients, $pid;
    }
    return;
}

sub end_clients {
    my ($stop_file, $name) = @_;
    append_to_file($stop_file, 'stop');
    my $ended = grep { waitpid($_, 0); $? == 0 } @clients;
    is($ended, scalar @clients, "$name: the clients ended by themselves") or diag(join '', map { slurp_file($_) } glob "$directory/journal-*.err");
    @clients = ();
    return;
}

# Waits until that many more receipts are there; false when a client is gone.
sub progress {
    my ($more) = @_;
    my $wanted = $more + $node->safe_psql('postgres', 'SELECT count(*) FROM receipt');
    for (1 .. 1800) {
        return 1 if $node->safe_psql('postgres', "SELECT count(*) >= $wanted FROM receipt") eq 't';
        return 0 if grep { waitpid($_, WNOHANG) > 0 } @clients;
        select undef, undef, undef, 0.1;
    }
    return 0;
}

# As the guide says: not behind a long transaction, and again when it was the one to give way.
my $tries = 0;
sub update {
    my ($version) = @_;
    for (1 .. 100) {
        $tries++;
        my $state = state_of($node, 'postgres', "SET lock_timeout = '1 s'; ALTER EXTENSION durable_work UPDATE TO '$version'");
        return $state unless $state eq '40P01' || $state eq '55P03';
    }
    return 'never';
}

# Served ----------------------------------------------------------------------------------------------------------------
start_clients("$directory/stop-served");
ok(progress(100), 'the load runs') or BAIL_OUT('there is no load to test under');
for my $round (1 .. 4) {
    is(update($round % 2 ? "$current-1" : $current), 'ok', "update $round under load");
    ok(progress(100), "work goes on after update $round") or last;
}
end_clients("$directory/stop-served", 'served');

# Not served ------------------------------------------------------------------------------------------------------------
start_clients("$directory/stop-refused", '--refused', 'DW007');
ok(progress(100), 'the load runs again') or BAIL_OUT('there is no load to test under');
for my $round (1 .. 3) {
    is(update('98.0.0'), 'ok', "$round: to a version that is not served");
    is(state_of($node, 'postgres', q{SELECT durable_work.enqueue('load', '{}')}), 'DW007', "$round: refused");
    $node->restart if $round == 2;
    is(update($current), 'ok', "$round: and back");
    ok(progress(100), "$round: work goes on") or last;
}
end_clients("$directory/stop-refused", 'not served');
note("$tries attempts to update");

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
ok(wait_until($node, 'postgres', q{SELECT unfinished = 0 FROM durable_work.queue_stats WHERE queue = 'load'}), 'and the figures know it');
my @journals = grep { !/\.err$/ } glob "$directory/journal-*";
my ($out, $err);
my $agreed = IPC::Run::run([ '/usr/bin/python3', "$tools/audit.py", '--dsn', $node->connstr('postgres'), @journals ], '>', \$out, '2>', \$err);
ok($agreed, 'what the clients were told agrees with what the database holds');
note($out);
diag($out . $err) unless $agreed;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP: |was terminated by signal/, 'no process has crashed');

$node->stop;
done_testing();
