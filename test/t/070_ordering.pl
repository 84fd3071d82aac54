# The crash audit on a queue that keeps the order of each key, with less memory than jobs: at any moment one
# job of a key is in flight, and they are finished in the order in which their producer enqueued them.
# DW_SOAK_SECONDS: how long (default 25).
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use CrashLoad;
use DurableWork;

plan skip_all => 'needs /usr/bin/python3 with psycopg' unless can_run_load();

my $node = new_server('order', conf => ['log_statement = none', 'durable_work.max_resident_jobs = 1024', 'durable_work.segment_max_age = 2s',
        'durable_work.truncate_grace = 0']);
begin_load($node, q{retention => '1 min', ordering => 'key'});

run_load(clients => 8, seconds => $ENV{DW_SOAK_SECONDS} || 25, seed => 20260707, options => ['--keys', 12]);
drain_load();

my ($agreed, $out, $err) = audit_load(options => ['--emptied', '--ordered']);
ok($agreed, 'what the clients were told agrees with what the database holds, and with the order of the keys');
note($out);
diag($out . $err) unless $agreed;

my ($believed, $found) = audit_load(options => ['--emptied', '--ordered'], lies => <<'JSON');
{"did": "claimed", "job": 1000000001, "token": 50, "asked": 1.0, "told": 1.1, "key": "lie 1", "partition_key": "lie"}
{"did": "claimed", "job": 1000000002, "token": 51, "asked": 1.2, "told": 1.3, "key": "lie 2", "partition_key": "lie"}
{"did": "claimed", "job": 1000000001, "token": 52, "asked": 1.4, "told": 1.5, "key": "lie 1", "partition_key": "lie"}
{"did": "completed", "job": 1000000001, "token": 52, "asked": 4.0, "key": "lie 1"}
JSON
ok(!$believed, 'planted lies are found');
like($found, qr/^broken: $_/m, "found: $_")
  for 'no job of a key was handed out before one that was enqueued earlier', 'no two jobs of a key were in flight at a time';

# A key in work, one that waits for a retry and a blocked one are the same after a crash.
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('held', ordering => 'key', on_exhausted => 'hold', max_attempts => 1);
SELECT count(*) FROM durable_work.enqueue_many('held', ARRAY['{"n": 1}', '{"n": 2}', '{"n": 3}', '{"n": 4}']::jsonb[], ARRAY['a', 'a', 'b', 'b']);
SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM durable_work.claim('held', 'tester', 1);
SELECT count(*) FROM durable_work.claim('held', 'tester', 10);
SELECT durable_work.create_queue('shares', fairness => 'key');
SELECT durable_work.set_key_weight('shares', 'big', 3), durable_work.set_key_weight('shares', 'gone', 5);
SELECT durable_work.set_key_weight('shares', 'gone', NULL);
SELECT count(*) FROM generate_series(1, 200) AS n, LATERAL durable_work.enqueue('shares', '{}', partition_key => CASE WHEN n % 2 = 0 THEN 'big' ELSE 'gone' END);
SQL
# A whole number of rounds; the first may be one of keys that count the same still, before the table was read.
sub shares_are_known
{
	my ($database) = @_;
	return wait_until($node, $database, q{SELECT string_agg(partition_key || jobs, ' ' ORDER BY partition_key) = 'big9 gone3' FROM (
        SELECT partition_key, count(*) AS jobs FROM durable_work.claim('shares', 'tester', 12) GROUP BY 1) AS key});
}
$node->stop('immediate');
$node->start;
ok(shares_are_known('postgres'), 'after a crash a key has its weight');
is($node->safe_psql('postgres', q{SELECT n FROM helper.claim('held', 1)}), '3', 'after a crash the unfinished job of a key is the next');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('held', 'tester', 10)}), '0', 'and nothing else');
is($node->safe_psql('postgres', q{SELECT state, waiting FROM durable_work.key_status('held', 'a')}), 'blocked|1', 'a blocked key is still blocked');
$node->safe_psql('postgres', q{SELECT durable_work.unblock_key('held', 'a', 'retry')});
is($node->safe_psql('postgres', q{SELECT n FROM helper.claim('held', 1)}), '1', 'and goes on with the job that was tried again');

# A copy.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/order.dump";
$node->safe_psql('postgres', <<'SQL');
SELECT count(*) FROM durable_work.enqueue_many('held', ARRAY['{"n": 5}', '{"n": 6}']::jsonb[], ARRAY['c', 'c']);
SELECT durable_work.reject(job_id, lease_token, 'nonsense') FROM durable_work.claim('held', 'tester', 10) WHERE partition_key = 'c';
SQL
$node->command_ok([ 'pg_dump', '--format=custom', '--file', $dump, $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--dbname', $node->connstr('copy'), $dump ], 'its restore');
ok(wait_until($node, 'copy', q{SELECT unfinished = 5 FROM durable_work.queue_stats WHERE queue = 'held'}), 'the copy has counted its jobs');
ok(wait_until($node, 'copy', q{SELECT state = 'blocked' FROM durable_work.key_status('held', 'c')}), 'it knows the blocked key');
is($node->safe_psql('copy', q{SELECT string_agg(n, ' ' ORDER BY n) FROM helper.claim('held', 2)}), '1 3', 'and the first job of each of the others');
ok(shares_are_known('copy'), 'a key of the copy has its weight');

$node->stop;
done_testing();
