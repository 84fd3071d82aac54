# The life of the log's segments: they follow each other, are drained, cleared of the jobs that are
# left, and emptied; what keeps one is told; nothing is lost over restarts, dumps and a full ring.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('rotation', conf => [
    'durable_work.segment_max_age = 1s',
    'durable_work.truncate_grace = 1h',
    'durable_work.timer_horizon = 2s',
    'max_prepared_transactions = 5',
]);
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub until_true { return wait_until($node, 'postgres', $_[0]); }

# Completes everything that is due in the queue.
sub drain {
    my ($queue) = @_;
    return sql("SELECT count(*) FROM durable_work.claim('$queue', 'w', 10000) c, durable_work.try_complete(c.job_id, c.lease_token)");
}

# Waits until new jobs go to another segment than now; each look enqueues a job, for an empty segment is not followed.
sub next_segment {
    my $before = sql("SELECT segment FROM durable_work.segments WHERE state = 'current'");
    sql("SELECT durable_work.enqueue('filler', '{}')");
    ok(until_true("SELECT segment <> '$before' FROM durable_work.segments WHERE state = 'current'"), 'the log goes on to another segment');
    drain('filler');
    return $before;
}
sub emptied { return "SELECT state = 'empty' AND job_pages = 0 AND outcome_pages = 0 FROM durable_work.segments WHERE segment = '$_[0]'"; }
sub log_check { return sql(q{SELECT severity || ': ' || seen FROM durable_work.health() WHERE "check" = 'log'}); }

sql(<<'SQL');
SELECT durable_work.create_queue('filler', retention => '0 s');
SELECT durable_work.create_queue('q', retention => '0 s', lease => '1 h', max_attempts => 5, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT durable_work.create_queue('kept', retention => '1 h');
CREATE TABLE noted (n text, job_id bigint, token bigint);
SQL

# --- drained and emptied -------------------------------------------------------------------------
sql(q{SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 1000) i))});
is(drain('q'), '1000', 'a thousand jobs are done');
my $first = next_segment();
ok(until_true(emptied($first)), 'a drained segment is emptied');
is(sql('SELECT count(*) FROM durable_work.inbox WHERE queue = \'q\''), '0', 'and its jobs are no longer shown');
is($node->psql('postgres', 'SELECT * FROM durable_work.explain_job(1)'), 3, 'and not known');

# --- what is left is moved -----------------------------------------------------------------------
sql(<<'SQL');
SELECT durable_work.enqueue('q', '{"n": "keyed"}', idempotency_key => 'key', partition_key => 'p', priority => 2, headers => '{"h": 1}');
SELECT durable_work.enqueue('q', '{"n": "tried"}', priority => 1);
SELECT durable_work.fail(job_id, lease_token, '{"why": "first"}', retry_in => '0') FROM helper.claim('q', 1);
SELECT durable_work.enqueue('q', '{"n": "late"}', priority => 3, delay => '1500 ms');
SQL
my $keyed = sql(q{SELECT id FROM durable_work.inbox WHERE payload->>'n' = 'keyed'});
my $tried = sql(q{SELECT id FROM durable_work.inbox WHERE payload->>'n' = 'tried'});
my $before = sql(q{SELECT md5(string_agg(j::text, ',' ORDER BY id)) FROM (SELECT id, queue, partition_key, priority, payload, headers, idempotency_key, status, created_at, attempts, max_attempts, last_error FROM durable_work.inbox WHERE queue = 'q') j});
my $second = next_segment();
ok(until_true(emptied($second)), 'a segment with a few unfinished jobs is emptied');
# By age the log may have gone on in between, and they lie in the segment before.
ok(until_true(q{SELECT count(*) = 3 FROM durable_work.parked JOIN durable_work.queue USING (topic) WHERE name = 'q'}), 'they are parked');
is(sql(q{SELECT md5(string_agg(j::text, ',' ORDER BY id)) FROM (SELECT id, queue, partition_key, priority, payload, headers, idempotency_key, status, created_at, attempts, max_attempts, last_error FROM durable_work.inbox WHERE queue = 'q') j}),
    $before, 'and are what they were');
is(sql(q{SELECT last_error->>'why' FROM durable_work.inbox WHERE payload->>'n' = 'tried'}), 'first', 'their last error');
is(sql("SELECT string_agg(event || coalesce(':' || attempt, ''), ' ' ORDER BY at) FROM durable_work.history($tried)"), 'enqueued failed:1',
    'with their history');
is(sql(q{SELECT job_id || ' ' || inserted FROM durable_work.enqueue('q', '{"n": "keyed"}', idempotency_key => 'key', partition_key => 'p', priority => 2, headers => '{"h": 1}')}),
    "$keyed false", 'a moved job keeps its idempotency key');
is(sql(q{SELECT ready + delayed || ' ' || unfinished FROM durable_work.queue_stats WHERE queue = 'q'}), '3 3', 'and is counted once');
$node->restart;
ok(until_true(q{SELECT unfinished = 3 FROM durable_work.queue_stats WHERE queue = 'q'}), 'also after a restart');
is(sql(q{SELECT string_agg(n || ':' || attempt, ' ') FROM helper.claim('q', 3)}), 'tried:2 keyed:1 late:1', 'they are handed out in their order, with their attempts');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});
ok(until_true('SELECT count(*) = 0 FROM durable_work.parked'), 'parked jobs go when their retention is over');
ok(until_true('SELECT count(*) = 0 FROM durable_work.parked_outcome'), 'and what is known of them');
is(sql(q{SELECT job_id FROM durable_work.enqueue('q', '{"n": "keyed"}', idempotency_key => 'key', partition_key => 'p', priority => 2, headers => '{"h": 1}')}),
    $keyed, 'their keys stay');

# --- long sleepers -------------------------------------------------------------------------------
sql(q{SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 2000) i),
    available_ats => (SELECT array_agg(now() + interval '30 days') FROM generate_series(1, 2000)))});
is(sql(q{SELECT ready + delayed + processing || ' ' || spilled FROM durable_work.queue_stats WHERE queue = 'q'}), '0 2000', 'jobs that are due in a month are not in memory');
my $files = sql(q{SELECT pg_relation_filepath('durable_work.parked') || ' ' || min(ctid::text) || ' ' || count(*) FROM durable_work.parked WHERE payload->>'n' ~ '^[0-9]+$'});
ok(until_true(emptied(next_segment())), 'and hold no segment');
is(sql(q{SELECT pg_relation_filepath('durable_work.parked') || ' ' || min(ctid::text) || ' ' || count(*) FROM durable_work.parked WHERE payload->>'n' ~ '^[0-9]+$'}), $files, 'and are not written again');
sql(q{SELECT durable_work.enqueue('q', '{"n": "soon"}', delay => '4 s')});
is(sql(q{SELECT count(*) FROM durable_work.parked WHERE payload->>'n' = 'soon'}), '1', 'a job that is due behind the horizon is parked');
is(sql(q{SELECT n FROM helper.claim('q', 1)}), 'soon', 'and handed out when it is due');
is(sql(q{SELECT clock_timestamp() >= available_at FROM durable_work.inbox WHERE payload->>'n' = 'soon'}), 't', 'not before');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});

# --- what keeps a segment ------------------------------------------------------------------------
my $session = new_session($node);
$session->query('BEGIN');
$session->query(q{SELECT durable_work.enqueue('q', '{"n": "open"}')});
my $held = next_segment();
ok(until_true(qq{SELECT seen LIKE '%process @{[$session->pid]} has an open transaction that wrote to it%' FROM durable_work.health() WHERE "check" = 'log'}),
    'an open transaction that wrote to a segment is named') or diag(log_check());
$session->query('COMMIT');
is(sql(q{SELECT n FROM helper.claim('q', 1)}), 'open', 'its job is there');
ok(until_true(qq{SELECT seen LIKE '%1 unfinished jobs, the oldest is job %' FROM durable_work.health() WHERE "check" = 'log'}),
    'a leased job keeps it, and is named') or diag(log_check());
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});
ok(until_true(emptied($held)), 'then it is emptied');

sql(q{SELECT durable_work.enqueue('q', '{"n": "seen"}')});
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$session->query('SELECT 1');
drain('q');
$held = next_segment();
ok(until_true(qq{SELECT seen LIKE '%process @{[$session->pid]} may still read it by an old snapshot%' FROM durable_work.health() WHERE "check" = 'log'}),
    'an old snapshot keeps a segment, and is named') or diag(log_check());
# By age the log may have gone on before next_segment looked.
my $any_segment = join ' UNION ALL ', map { "SELECT payload FROM durable_work.job_$_" } 0 .. 7;
is($session->query("SELECT count(*) FROM ($any_segment) j WHERE payload->>'n' = 'seen'"), '1', 'it still sees the job');
$session->query('COMMIT');
ok(until_true(emptied($held)), 'without it the segment is emptied');

sql(q{SELECT durable_work.enqueue('q', '{"n": "locked"}')});
drain('q');
# By age the log may go on between the look and the lock.
my $current;
for (1 .. 20) {
    $current = sql("SELECT segment FROM durable_work.segments WHERE state = 'current'");
    $session->query('BEGIN');
    $session->query("LOCK TABLE durable_work.outcome_$current IN ACCESS SHARE MODE");
    $held = next_segment();
    last if $held == $current;
    $session->query('COMMIT');
}
is($held, $current, 'the locked segment is left');
ok(until_true(qq{SELECT seen LIKE '%process @{[$session->pid]} %' FROM durable_work.health() WHERE "check" = 'log'}),
    'a lock on a table of the segment keeps it, and its holder is named') or diag(log_check());
is(sql(q{SELECT count(*) FROM durable_work.enqueue('q', '{}')}), '1', 'nobody queues up behind the truncation');
$session->query('COMMIT');
ok(until_true(emptied($held)), 'without it the segment is emptied');
drain('q');

# --- retention -----------------------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('kept', '{"n": "kept"}')});
drain('kept');
$held = next_segment();
ok(until_true(q{SELECT seen LIKE '%queue "kept" keeps its finished jobs until %' FROM durable_work.health() WHERE "check" = 'log'}), 'retention keeps a segment')
  or diag(log_check());
is(sql(q{SELECT status FROM durable_work.inbox WHERE queue = 'kept'}), 'completed', 'a finished job is shown as long');
sql(q{SELECT durable_work.alter_queue('kept', retention => '0 s')});
ok(until_true(emptied($held)), 'a shorter one lets go of it');

# --- dead letters outlive their segment ----------------------------------------------------------
sql(q{SELECT durable_work.enqueue('q', '{"n": "dead"}')});
sql(q{SELECT durable_work.reject(job_id, lease_token, 'no use') FROM helper.claim('q', 1)});
ok(until_true(emptied(next_segment())), 'a dead letter holds no segment');
is(sql(q{SELECT count(*) FROM durable_work.dead_letters WHERE queue = 'q'}), '1', 'it is still there');
is(sql(q{SELECT durable_work.redrive('q')}), '1', 'and can be redriven');
is(sql(q{SELECT n || ':' || attempt FROM helper.claim('q', 1)}), 'dead:1', 'it is handed out');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});
ok(until_true(q{SELECT unfinished = 2000 FROM durable_work.queue_stats WHERE queue = 'q'}), 'and counted right');

# --- a full ring ---------------------------------------------------------------------------------
for (1 .. 8) {
    sql(qq{SELECT durable_work.enqueue('q', '{"n": "ring $_"}')});
    sql(q{INSERT INTO noted SELECT n, job_id, lease_token FROM helper.claim('q', 1)});
    # By age the log goes on by itself, too, so the ring may be full sooner.
    my $before = sql("SELECT segment FROM durable_work.segments WHERE state = 'current'");
    sql("SELECT durable_work.enqueue('filler', '{}')");
    ok(until_true("SELECT bool_or(state = 'current' AND segment <> '$before') OR NOT bool_or(state = 'empty') FROM durable_work.segments"), "$_: the log goes on, or the ring is full");
    drain('filler');
}
ok(until_true(q{SELECT severity = 'critical' FROM durable_work.health() WHERE "check" = 'log'}), 'a ring without a free segment is critical') or diag(log_check());
like(log_check(), qr/8 of 8 segments of the log are in use; .* unfinished jobs, the oldest is job \d+ of queue "q". The current one goes on growing/, 'health says why');
is(sql(q{SELECT count(*) FROM durable_work.enqueue_many('filler', array_fill('{}'::jsonb, ARRAY[5000]))}), '5000', 'jobs are enqueued as ever');
is(drain('filler'), '5000', 'and done');
$node->stop('immediate');
$node->start;
ok(until_true(q{SELECT unfinished = 2008 FROM durable_work.queue_stats WHERE queue = 'q'}), 'a crash loses nothing');
is(sql(q{SELECT string_agg(n, ',') FROM helper.claim('q', 8)}), join(',', map { "ring $_" } 1 .. 8), 'the oldest come first, whatever segment they lie in');
is(sql(q{SELECT count(*) FROM noted WHERE durable_work.try_complete(job_id, token) <> 'stale'}), '0', 'old tokens are refused');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});
ok(until_true(q{SELECT severity = 'ok' FROM durable_work.health() WHERE "check" = 'log'}), 'when they are done segments become free') or diag(log_check());

# --- a dump in the middle of it ------------------------------------------------------------------
for (1 .. 3) {
    sql(qq{SELECT durable_work.enqueue('q', '{"n": "dumped $_"}')});
    next_segment();
}
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '--format=custom', '--file', $file, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', 'copy', $file ], 'pg_restore');
# Tables come one by one meanwhile, and the copy has a housekeeper of its own.
is($node->safe_psql('copy', q{SELECT string_agg(n, ',') FROM helper.claim('q', 3)}), 'dumped 1,dumped 2,dumped 3', 'the copy goes on where the work stood');
$node->safe_psql('copy', q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});
ok(wait_until($node, 'copy', q{SELECT unfinished = 2000 FROM durable_work.queue_stats WHERE queue = 'q'}), 'and counts right');
my $highest = $node->safe_psql('copy', 'SELECT greatest((SELECT max(id) FROM durable_work.inbox), (SELECT max(first_id) FROM durable_work.segment))');
cmp_ok($node->safe_psql('copy', q{SELECT job_id FROM durable_work.enqueue('q', '{"n": "new"}')}), '>=', $highest - 2048, 'and gives no number twice');
is($node->safe_psql('copy', q{SELECT n FROM helper.claim('q', 1)}), 'new', 'it takes jobs');

$node->stop;
done_testing();
