# Somebody locks all tables in an order of his own, as DROP EXTENSION and the like do, while the housekeeper reads and writes
# them in its own: it is the housekeeper that gives way, and goes on.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('deadlocks', conf => [ q{deadlock_timeout = '200 ms'}, 'fsync = off' ]);
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '10 ms', max_attempts => 1);
SELECT count(*) FROM durable_work.enqueue_many('q', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 50000)));
SELECT count(*) FROM durable_work.enqueue('q', '{}', delay => '20 h');
SQL
# Leases end, what was loaded is loaded again, and the tables that it takes are locked one after the other, first to last and
# last to first.
my $tables = $node->safe_psql('postgres', q{SELECT string_agg('durable_work.' || relname, ' ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'r' AND relname !~ '_[1-7]$'});
my @tables = split / /, $tables;
my $round = sub {
    return "SELECT count(*) FROM durable_work.claim('q', 'w', 20);\nSELECT durable_work.reload();\nBEGIN;\n"
        . join('', map { "LOCK TABLE $_ IN ACCESS EXCLUSIVE MODE;\nSELECT pg_sleep(0.0005);\n" } @_) . "COMMIT;\n";
};
my $rounds = join '', map { $round->(@tables) . $round->(reverse @tables) } 1 .. 60;
my ($code, $out, $error) = $node->psql('postgres', $rounds, on_error_stop => 1);
is($code, 0, 'who locks tables is never the one that gives way') or diag($error);
my $gave_way = () = slurp_file($node->logfile) =~ /durable_work housekeeper[^\n]*deadlock|ERROR: +deadlock detected/g;
note "the housekeeper gave way $gave_way times";
ok(wait_until($node, 'postgres', q{SELECT count(*) = 0 FROM durable_work.leases}), 'it goes on: leases end');
is($node->safe_psql('postgres', q{SELECT count(*) = count(DISTINCT id) AND count(*) = 50001 FROM durable_work.inbox WHERE queue = 'q'}), 't', 'and no job is lost');
ok(wait_until($node, 'postgres', q{SELECT severity <> 'critical' FROM durable_work.health() WHERE "check" = 'housekeeping'}), 'it is well');
$node->stop;
done_testing();
