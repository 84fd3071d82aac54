# ALTER EXTENSION UPDATE while clients produce and work. First to SQL that the library serves, with a script that locks
# every table and replaces every function: service goes on. Then to SQL that it does not serve and back, also with a
# restart in between, as in an upgrade of both: calls are refused with DW007 and nothing else happens. Afterwards the
# books must agree.
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use CrashLoad;
use DurableWork;
use Installation;

plan skip_all => 'needs /usr/bin/python3 with psycopg' unless can_run_load();

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
begin_load($node);

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
start_client() for 1 .. 6;
ok(wait_for_progress(100), 'the load runs') or BAIL_OUT('there is no load to test under');
for my $round (1 .. 4) {
    is(update($round % 2 ? "$current-1" : $current), 'ok', "update $round under load");
    ok(wait_for_progress(100), "work goes on after update $round") or last;
}
end_clients();

# Not served ------------------------------------------------------------------------------------------------------------
# They take nothing but the SQLSTATE for an answer that refuses.
start_client('--refused', 'DW007') for 1 .. 6;
ok(wait_for_progress(100), 'the load runs again') or BAIL_OUT('there is no load to test under');
for my $round (1 .. 3) {
    is(update('98.0.0'), 'ok', "$round: to a version that is not served");
    is(state_of($node, 'postgres', q{SELECT durable_work.enqueue('load', '{}')}), 'DW007', "$round: refused");
    $node->restart if $round == 2;
    is(update($current), 'ok', "$round: and back");
    ok(wait_for_progress(100), "$round: work goes on") or last;
}
end_clients();
note("$tries attempts to update");

drain_load();
ok(wait_until($node, 'postgres', q{SELECT unfinished = 0 FROM durable_work.queue_stats WHERE queue = 'load'}), 'and the figures know it');
my ($agreed, $out, $err) = audit_load();
ok($agreed, 'what the clients were told agrees with what the database holds');
note($out);
diag($out . $err) unless $agreed;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP: |was terminated by signal/, 'no process has crashed');

$node->stop;
done_testing();
