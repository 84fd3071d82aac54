# A database in the middle of work is dumped and restored in every way that pg_dump has: the copy goes on, loses
# nothing, repeats no number and no token, and counts right. With everything a job can be: ready, delayed, far in the future,
# held, failed and waiting for its retry, changed, finished, cancelled, a dead letter, redriven.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('restore', conf => ["durable_work.timer_horizon = '1h'"]);
my $directory = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 7, backoff => 'fixed', backoff_base => '2 h', backoff_cap => '2 h', jitter => 0);
SELECT durable_work.create_queue('other');
SELECT count(*) FROM durable_work.enqueue_many('other', array_fill('{}'::jsonb, '{50}'));
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 1000) i));
SELECT count(*) FROM (SELECT durable_work.enqueue('q', jsonb_build_object('n', 'delayed ' || i), delay => '10 min') FROM generate_series(1, 20) i) d;
SELECT count(*) FROM (SELECT durable_work.enqueue('q', jsonb_build_object('n', 'far ' || i), delay => '20 h', idempotency_key => 'far ' || i) FROM generate_series(1, 30) i) f;
INSERT INTO helper.held SELECT * FROM helper.claim('q', 400);
SELECT count(*) FROM durable_work.complete_many((SELECT array_agg(job_id) FROM helper.held WHERE n::int <= 200), (SELECT array_agg(token) FROM helper.held WHERE n::int <= 200));
SELECT durable_work.fail(job_id, token, '{"why": "later"}') FROM helper.held WHERE n::int BETWEEN 201 AND 220;
SELECT durable_work.fail(job_id, token, '{"why": "now"}', retry_in => '0') FROM helper.held WHERE n::int BETWEEN 221 AND 240;
SELECT durable_work.reject(job_id, token, 'poison') FROM helper.held WHERE n::int BETWEEN 241 AND 260;
SELECT durable_work.cancel(job_id) FROM helper.held WHERE n::int BETWEEN 261 AND 270;
SELECT durable_work.redrive('q', job_ids => (SELECT array_agg(job_id) FROM helper.held WHERE n::int BETWEEN 241 AND 250));
-- One in a quarter of an hour: what it has still to do is in the table.
SELECT durable_work.redrive('q', rate_per_second => 0.001);
SELECT durable_work.mark_handled('mail', 'order 1');
SQL
# Until the first job of the slow redrive has gone.
ok(wait_until($node, 'postgres', q{SELECT moved = 1 FROM durable_work.redrives WHERE state = 'running'}), 'a redrive at a rate is under way');

# What there is, without times that say when it was restored.
my $summary = q{SELECT string_agg(queue || ' ' || status || ' ' || n, ', ' ORDER BY queue, status)
    FROM (SELECT queue, CASE WHEN status = 'dead_letter' OR payload->>'n' BETWEEN '241' AND '260' THEN 'dead or redriven'
                             WHEN status = 'processing' THEN 'pending' ELSE status END AS status, count(*) AS n FROM durable_work.inbox GROUP BY 1, 2) s};
my $jobs = q{SELECT count(*) || ' ' || md5(string_agg(j::text, ',' ORDER BY id)) FROM
    (SELECT id, queue, priority, payload, headers, idempotency_key, created_at, max_attempts FROM durable_work.inbox) j};
my $counted = q{SELECT string_agg(s.queue || ' ' || unfinished, ', ' ORDER BY s.queue) FROM durable_work.queue_stats s};
my $full_count = q{SELECT string_agg(queue || ' ' || n, ', ' ORDER BY queue) FROM (SELECT queue, count(*) FILTER (WHERE status IN ('pending', 'processing')) AS n
    FROM durable_work.inbox GROUP BY 1) c};
my %was = (summary => $node->safe_psql('postgres', $summary), jobs => $node->safe_psql('postgres', $jobs));
is($node->safe_psql('postgres', $counted), $node->safe_psql('postgres', $full_count), 'the original counts right');
my $highest_token = $node->safe_psql('postgres', 'SELECT max(token) FROM helper.held');
my $highest_job = $node->safe_psql('postgres', 'SELECT max(id) FROM durable_work.inbox');

sub check_copy {
    my ($name, $copy) = @_;
    is($node->safe_psql($copy, $jobs), $was{jobs}, "$name: every job is there, as it was");
    is($node->safe_psql($copy, $summary), $was{summary}, "$name: and stands where it stood; what was held is pending");
    ok(wait_until($node, $copy, q{SELECT state = 'running' AND moved >= 2 FROM durable_work.redrives}), "$name: the redrive at a rate goes on");
    ok(wait_until($node, $copy, "SELECT ($counted) = ($full_count)"), "$name: the counters are what a full count gives")
      or diag($node->safe_psql($copy, $counted) . ' instead of ' . $node->safe_psql($copy, $full_count));
    # 1000, without 200 completed, 20 in backoff, 10 cancelled, and those that are dead letters still.
    my $due = $node->safe_psql($copy, q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q' AND status = 'pending' AND available_at <= now()});
    is($node->safe_psql($copy, <<"SQL"), "$due|$due|t", "$name: all that is due is handed out once, with higher tokens");
CREATE TABLE public.taken AS SELECT * FROM helper.claim('q', $due);
SELECT count(*), count(DISTINCT job_id), bool_and(lease_token > $highest_token) FROM public.taken;
SQL
    cmp_ok($due, '>', 700, "$name: which is most of them");
    is($node->safe_psql($copy, q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', "$name: and nothing more");
    is($node->safe_psql($copy, q{SELECT count(*) || ' ' || min(attempt) FROM public.taken WHERE n ~ '^[0-9]+$' AND n::int BETWEEN 221 AND 240}), '20 2',
        "$name: recorded failures count");
    is($node->safe_psql($copy, q{SELECT string_agg(DISTINCT durable_work.try_complete(job_id, token), ',') FROM helper.held WHERE n::int > 300}), 'stale',
        "$name: the original's tokens are refused");
    is($node->safe_psql($copy, q{SELECT bool_or(durable_work.complete(job_id, token)) FROM helper.held WHERE n::int <= 200}), 'f', "$name: completions are remembered");
    is($node->safe_psql($copy, q{SELECT count(*) FROM durable_work.complete_many((SELECT array_agg(job_id) FROM public.taken), (SELECT array_agg(lease_token) FROM public.taken)) WHERE outcome = 'completed'}),
        $due, "$name: everything can be completed");
    is($node->safe_psql($copy, q{SELECT bool_or(inserted) FROM generate_series(1, 30) i, durable_work.enqueue('q', jsonb_build_object('n', 'far ' || i), idempotency_key => 'far ' || i)}), 'f',
        "$name: idempotency keys hold");
    is($node->safe_psql($copy, q{SELECT durable_work.mark_handled('mail', 'order 1')}), 'f', "$name: what was handled stays handled");
    cmp_ok($node->safe_psql($copy, q{SELECT min(job_id) FROM durable_work.enqueue_many('q', array_fill('{}'::jsonb, '{500}'))}), '>', $highest_job, "$name: job ids go on");
    is($node->safe_psql($copy, q{SELECT count(*) FROM (SELECT id FROM durable_work.inbox GROUP BY id HAVING count(*) > 1) twice}), '0', "$name: and none is given twice");
    is($node->safe_psql($copy, $counted), $node->safe_psql($copy, $full_count), "$name: the counters are right after all that");
    $node->safe_psql('postgres', "DROP DATABASE $copy");
    return;
}

for my $case ([ plain => [ '--format=plain' ] ], [ custom => [ '--format=custom' ] ], [ parallel => [ '--format=directory', '--jobs=3' ] ]) {
    my ($name, $options) = @$case;
    my $file = "$directory/$name";
    $node->command_ok([ 'pg_dump', @$options, '--file', $file, 'postgres' ], "$name: pg_dump");
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    if ($name eq 'plain') {
        $node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $name, '-f', $file ], "$name: psql");
    } else {
        my @jobs = $name eq 'parallel' ? ('--jobs=3') : ();
        $node->command_ok([ 'pg_restore', '--exit-on-error', @jobs, '--dbname', $name, $file ], "$name: pg_restore");
    }
    check_copy($name, $name);
}

# Only the data, with triggers disabled, into a database that has the extension already: nothing tells the housekeeper.
$node->safe_psql('postgres', 'CREATE DATABASE silent');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--schema-only', '--dbname', 'silent', "$directory/custom" ], 'silent: the schema is there');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers', '--dbname', 'silent', "$directory/custom" ],
    'silent: and the data comes with triggers disabled');
$node->safe_psql('silent', 'SELECT durable_work.reload()');
check_copy('silent', 'silent');

# The original does not notice.
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE durable_work.complete(job_id, token)) FROM (SELECT * FROM helper.held WHERE n::int > 300 OFFSET 0) h}), '100',
    'the original goes on with its own tokens');

# --- reload() -----------------------------------------------------------------------------------
my $rows = $node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.epoch});
my $session = new_session($node);
$session->query('BEGIN');
$session->query('SELECT durable_work.reload()');
is($node->safe_psql('postgres', $counted), $node->safe_psql('postgres', $full_count), 'a reload that is not committed does nothing');
$session->query('ROLLBACK');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.epoch}), $rows, 'nor does one that is rolled back');
my $held = $node->safe_psql('postgres', q{SELECT job_id || ', ' || lease_token FROM durable_work.claim('other', 'w', 1)});
$node->safe_psql('postgres', 'SELECT durable_work.reload()');
ok(wait_until($node, 'postgres', "SELECT count(*) > $rows FROM durable_work.epoch"), 'a reload raises the epoch');
ok(wait_until($node, 'postgres', "SELECT ($counted) = ($full_count)"), 'and counts anew');
is($node->safe_psql('postgres', "SELECT durable_work.complete($held)"), 't', 'a lease lives on');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT job_id) FROM helper.claim('other', 49)}), '49', 'each of the other jobs is handed out once');
# A row that comes as a subscription writes it.
$node->safe_psql('postgres', <<'SQL');
SET session_replication_role = replica;
INSERT INTO durable_work.job_0 SELECT nextval('durable_work.job_id_seq'), enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, '{"n": "replica"}', headers
    FROM durable_work.job_0 WHERE topic = (SELECT id FROM durable_work.topic WHERE name = 'other') LIMIT 1;
SQL
is($node->safe_psql('postgres', q{SELECT n FROM helper.claim('other', 1)}), 'replica', 'a row that was written in replica role is seen at once');
# A row that nobody was told of.
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE durable_work.job_0 DISABLE TRIGGER ALL;
INSERT INTO durable_work.job_0 SELECT nextval('durable_work.job_id_seq'), enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, '{"n": "silent"}', headers
    FROM durable_work.job_0 WHERE topic = (SELECT id FROM durable_work.topic WHERE name = 'other') LIMIT 1;
ALTER TABLE durable_work.job_0 ENABLE ALWAYS TRIGGER rows_arrived;
SQL
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('other', 'w')}), '0', 'a row that came past the triggers is not seen');
$node->safe_psql('postgres', 'SELECT durable_work.reload()');
is($node->safe_psql('postgres', q{SELECT n FROM helper.claim('other', 1)}), 'silent', 'before a reload');
ok(wait_until($node, 'postgres', "SELECT ($counted) = ($full_count)"), 'which also counts it');
is(state_of($node, 'postgres', q{BEGIN READ ONLY; SELECT durable_work.reload()}), '25006', 'reload is refused in a read-only transaction');
$node->safe_psql('postgres', 'CREATE ROLE nobody');
is(state_of($node, 'postgres', q{GRANT USAGE ON SCHEMA durable_work TO nobody; SET ROLE nobody; SELECT durable_work.reload()}), '42501', 'and to roles that it is not granted to');

$node->stop;
done_testing();
