# A dump taken in the middle of work, restored into a new database, goes on where the work stood.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('dump');
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';

$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.enqueue('default', '{"n": "lazily made"}');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 7, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 500) i));
INSERT INTO helper.held SELECT * FROM helper.claim('q', 100);
SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n::int <= 50;
SELECT durable_work.fail(job_id, token, '{"why": "first"}', retry_in => '0') FROM helper.held WHERE n = '51';
SELECT durable_work.fail(job_id, token, '{"why": "last"}', retryable => false) FROM helper.held WHERE n = '52';
SELECT durable_work.cancel(job_id) FROM helper.held WHERE n = '53';
SELECT durable_work.enqueue('q', '{"n": "far"}', delay => '5 h', idempotency_key => 'key', partition_key => 'p', priority => 2, headers => '{"h": 1}');
SELECT durable_work.mark_handled('mail', 'order 1');
SELECT durable_work.fence('file', 77);
SQL
# Job 51 is due at once, and that is all that is written of its retry.
my $columns = q{id, queue, partition_key, priority, payload, headers, idempotency_key, CASE WHEN payload->>'n' <> '51' THEN available_at END AS due, created_at, max_attempts};
my $jobs = "SELECT md5(string_agg(j::text, ',' ORDER BY id)) || ' ' || count(*) FROM (SELECT $columns FROM durable_work.inbox) j";

for my $format (qw(custom plain)) {
    my $copy = "copy_$format";
    if ($format eq 'custom') {
        $node->command_ok([ 'pg_dump', '--format=custom', '--file', $file, 'postgres' ], "$format: pg_dump");
    } else {
        $node->command_ok([ 'pg_dump', '--file', $file, 'postgres' ], "$format: pg_dump");
    }
    $node->safe_psql('postgres', "CREATE DATABASE $copy");
    if ($format eq 'custom') {
        $node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', $copy, $file ], "$format: pg_restore");
    } else {
        $node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $copy, '-f', $file ], "$format: psql");
    }

    is($node->safe_psql($copy, $jobs), $node->safe_psql('postgres', $jobs), "$format: every job is there, as it was");
    is($node->safe_psql($copy, 'SELECT string_agg(q::text, chr(10) ORDER BY queue) FROM durable_work.queues q'),
        $node->safe_psql('postgres', 'SELECT string_agg(q::text, chr(10) ORDER BY queue) FROM durable_work.queues q'), "$format: the queues too");
    is($node->safe_psql($copy, q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) n FROM durable_work.inbox WHERE queue = 'q' GROUP BY 1) s}),
        'cancelled 1, completed 50, dead_letter 1, pending 449', "$format: what was leased is pending");

    # 500 jobs without 50 completed, a dead letter and a cancelled one.
    is($node->safe_psql($copy, <<'SQL'), '448|448|448', "$format: all that was not finished is handed out once");
CREATE TABLE taken AS SELECT * FROM helper.claim('q', 448);
SELECT count(*), count(DISTINCT job_id), count(DISTINCT n) FROM taken;
SQL
    is($node->safe_psql($copy, q{SELECT count(*) FROM durable_work.claim('q', 'w', 100)}), '0', "$format: and nothing else");
    is($node->safe_psql($copy, q{SELECT string_agg(n, ',') FROM taken WHERE attempt = 2}), '51', "$format: the failed attempt counts");
    my $highest = $node->safe_psql('postgres', 'SELECT max(token) FROM helper.held');
    is($node->safe_psql($copy, "SELECT bool_and(lease_token > $highest) FROM taken"), 't', "$format: tokens are higher than the original's");
    is(state_of($node, $copy, q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '99'}), 'DW001', "$format: the original's tokens are refused");
    is($node->safe_psql($copy, q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '7'}), 'f', "$format: completions are remembered");
    is($node->safe_psql($copy, q{SELECT count(*) FROM taken WHERE durable_work.complete(job_id, lease_token)}), '448', "$format: everything can be completed");
    is($node->safe_psql($copy, q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "far"}', idempotency_key => 'key')}), 'f', "$format: idempotency keys");
    is($node->safe_psql($copy, q{SELECT durable_work.mark_handled('mail', 'order 1')}), 'f', "$format: what was handled");
    is(state_of($node, $copy, q{SELECT durable_work.fence('file', 76)}), 'DW001', "$format: fences");
    is($node->safe_psql($copy, q{SELECT (history->0->'error'->>'why') FROM durable_work.dead_letters}), 'last', "$format: dead letters");
    my $highest_job = $node->safe_psql('postgres', 'SELECT max(id) FROM durable_work.inbox');
    cmp_ok($node->safe_psql($copy, q{SELECT job_id FROM durable_work.enqueue('q', '{"n": "new"}')}), '>', $highest_job, "$format: job ids go on");
    is($node->safe_psql($copy, q{SELECT n FROM helper.claim('q', 1)}), 'new', "$format: new jobs are handed out");

    # The original does not notice.
    is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.leases}), '47', "$format: the original's leases are untouched");
}
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE durable_work.complete(job_id, token)) FROM (SELECT * FROM helper.held WHERE n::int BETWEEN 54 AND 100 OFFSET 0) h}), '47',
    'the original goes on with its own tokens');

# A restore sets the sequence of job ids after the rows are in. In between the housekeeper counts them, with a number of
# that sequence; the block which that number begins is made of ids that the restored jobs have.
my ($rows, $rest) = ("$file.rows", "$file.rest");
$node->command_ok([ 'pg_dump', '--file', $file, 'postgres' ], 'in two parts: pg_dump');
# Newer pg_dumps bind the two ends together.
(my $dump = slurp_file($file)) =~ s/^\\(?:un)?restrict .*\n//gm;
my ($first, $second) = $dump =~ /\A(.*?)(^SELECT pg_catalog\.setval\(.*)\z/ms;
like($second, qr/setval\('durable_work\.job_id_seq'/, 'the numbers are set after the rows');
unlike($second, qr/^COPY /m, 'all of them');
append_to_file($rows, $first);
append_to_file($rest, $second);
$node->safe_psql('postgres', 'CREATE DATABASE in_parts');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'in_parts', '-f', $rows ], 'the rows are in');
my $unfinished = $node->safe_psql('postgres', q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'q'});
ok(wait_until($node, 'in_parts', q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'q'}, $unfinished), 'the housekeeper has counted them');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'in_parts', '-f', $rest ], 'the numbers are set');
my $highest_job = $node->safe_psql('in_parts', 'SELECT max(id) FROM durable_work.inbox');
cmp_ok($node->safe_psql('in_parts', q{SELECT job_id FROM durable_work.enqueue('q', '{"n": "new"}')}), '>', $highest_job, 'the next job has a number of its own');

$node->stop;
done_testing();
