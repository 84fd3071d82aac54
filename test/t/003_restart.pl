# Jobs in every state go through a clean restart and through a crash: nothing is lost, nothing is
# handed out twice, and no token from before is worth anything.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('restart');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub state_is {
    my ($statement, $state, $what) = @_;
    return is(state_of($node, 'postgres', $statement), $state, $what);
}

for my $mode (qw(fast immediate)) {
    my $queue = "jobs_$mode";
    sql(<<"SQL");
TRUNCATE helper.held;
SELECT durable_work.create_queue('$queue', lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '100 ms', jitter => 0);
SELECT durable_work.create_queue('${queue}_other', lease => '1 h');
SELECT durable_work.pause_queue('${queue}_other');
-- in the order in which they are claimed
SELECT durable_work.enqueue('$queue', '{"n": "completed"}', priority => 0);
SELECT durable_work.enqueue('$queue', '{"n": "leased"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "retried soon"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "retried later"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "retried in hours"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "dead"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "deferred"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "cancelled under its holder"}', priority => 1);
SELECT durable_work.enqueue('$queue', '{"n": "released"}', priority => 1);
INSERT INTO helper.held SELECT * FROM helper.claim('$queue', 9);
SELECT durable_work.enqueue('$queue', '{"n": "pending"}', priority => 4, idempotency_key => 'key');
SELECT durable_work.enqueue('$queue', '{"n": "urgent"}', priority => 2);
SELECT durable_work.enqueue('$queue', '{"n": "delayed"}', delay => '10 min');
SELECT durable_work.enqueue('$queue', '{"n": "delayed for hours"}', delay => '3 h');
SELECT durable_work.enqueue('$queue', '{"n": "cancelled"}');
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE queue = '$queue' AND payload->>'n' = 'cancelled';
SELECT durable_work.enqueue('${queue}_other', '{"n": "paused"}');
SELECT durable_work.complete(job_id, token, '{"done": true}') FROM helper.held WHERE n = 'completed';
SELECT durable_work.fail(job_id, token, '{"why": "x"}', retry_in => '0 s') FROM helper.held WHERE n = 'retried soon';
SELECT durable_work.fail(job_id, token, '{"why": "x"}', retry_in => '10 min') FROM helper.held WHERE n = 'retried later';
SELECT durable_work.fail(job_id, token, '{"why": "x"}', retry_in => '3 h') FROM helper.held WHERE n = 'retried in hours';
SELECT durable_work.fail(job_id, token, '{"why": "x"}', retryable => false) FROM helper.held WHERE n = 'dead';
SELECT durable_work.defer(job_id, token, clock_timestamp() + interval '10 min') FROM helper.held WHERE n = 'deferred';
SELECT durable_work.cancel(job_id) FROM helper.held WHERE n = 'cancelled under its holder';
SELECT durable_work.release(job_id, token) FROM helper.held WHERE n = 'released';
SQL

    my $statuses = "SELECT string_agg(payload->>'n' || ': ' || status, ', ' ORDER BY payload->>'n') FROM durable_work.inbox WHERE queue LIKE '$queue%'";
    # Attempts that an outcome row knows of; a lease under way is not written anywhere.
    my $times = "SELECT string_agg(concat_ws(' ', payload->>'n', available_at, created_at, max_attempts), ', ' ORDER BY payload->>'n')
        FROM durable_work.inbox WHERE queue LIKE '$queue%' AND payload->>'n' NOT IN ('leased', 'retried soon', 'released')";
    my $attempts = "SELECT string_agg(payload->>'n' || ' ' || attempts, ', ' ORDER BY payload->>'n')
        FROM durable_work.inbox WHERE queue LIKE '$queue%' AND payload->>'n' LIKE 'retried%'";
    my $expected = join ', ', 'cancelled under its holder: cancelled', 'cancelled: cancelled', 'completed: completed', 'dead: dead_letter',
        'deferred: pending', 'delayed for hours: pending', 'delayed: pending', 'leased: %s', 'paused: pending', 'pending: pending',
        'released: pending', 'retried in hours: pending', 'retried later: pending', 'retried soon: pending', 'urgent: pending';
    my $collated = sub { return join ', ', sort split /, /, $_[0]; };
    is($collated->(sql($statuses)), $collated->(sprintf $expected, 'processing'), "$mode: every state is there before the restart");
    my $times_before = sql($times);
    my $attempts_before = sql($attempts);
    is($attempts_before, 'retried in hours 1, retried later 1, retried soon 1', "$mode: failed attempts are counted");
    my $epoch_before = sql('SELECT max(value) FROM durable_work.epoch');
    my $highest_before = sql('SELECT max(token) FROM helper.held');
    my $key_job = sql("SELECT id FROM durable_work.inbox WHERE queue = '$queue' AND idempotency_key = 'key'");

    $node->stop($mode);
    $node->start;

    # Enqueue works while the server loads, whatever the state of the housekeeper.
    is(sql("SELECT inserted FROM durable_work.enqueue('$queue', '{\"n\": \"after\"}', priority => 9)"), 't', "$mode: enqueue works at once");
    ok(wait_until($node, 'postgres', "SELECT max(value) > $epoch_before FROM durable_work.epoch"), "$mode: the epoch rises");
    is($collated->(sql($statuses)), $collated->((sprintf $expected, 'pending') . ', after: pending'),
        "$mode: every job is in the state it had, but the leased one is pending again");
    is(sql("$times AND payload->>'n' <> 'after'"), $times_before, "$mode: delays and retry times are kept");
    is(sql($attempts), $attempts_before, "$mode: failed attempts are kept");

    state_is("SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = 'leased'", 'DW001', "$mode: a token from before is refused");
    state_is("SELECT durable_work.extend_lease(job_id, token) FROM helper.held WHERE n = 'leased'", 'DW001', "$mode: it cannot be extended");
    state_is("SELECT durable_work.fail(job_id, token) FROM helper.held WHERE n = 'leased'", 'DW001', "$mode: nor failed");
    is(sql("SELECT durable_work.try_complete(job_id, token) FROM helper.held WHERE n = 'leased'"), 'stale', "$mode: try_complete calls it stale");
    is(sql("SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = 'completed'"), 'f',
        "$mode: a repeated completion is told that it was completed by this token");
    is(sql("SELECT durable_work.try_complete(job_id, token) FROM helper.held WHERE n = 'completed'"), 'already_completed', "$mode: try_complete too");
    state_is("SELECT durable_work.complete(job_id, token + 1) FROM helper.held WHERE n = 'completed'", 'DW001', "$mode: but not by another token");
    is(sql("SELECT count(*) FROM durable_work.heartbeat('tester')"), '0', "$mode: no lease is left");
    is(sql("SELECT job_id || ' ' || inserted FROM durable_work.enqueue('$queue', '{\"n\": \"pending\"}', idempotency_key => 'key')"),
        "$key_job false", "$mode: idempotency keys are kept");

    is(sql("SELECT string_agg(n || ' ' || attempt, ', ' ORDER BY n) FROM helper.claim('$queue', 6)"),
        'after 1, leased 1, pending 1, released 1, retried soon 2, urgent 1',
        "$mode: what is due is handed out once, a recorded attempt counts, one under way does not");
    is(sql("SELECT count(*) FROM durable_work.claim('$queue', 'w', 100)"), '0', "$mode: and nothing else is");
    is(sql("SELECT count(*) FROM durable_work.claim('${queue}_other', 'w', 100)"), '0', "$mode: a paused queue stays paused");
    is(sql("SELECT bool_and(lease_token > $highest_before) FROM durable_work.leases WHERE queue = '$queue'"), 't', "$mode: tokens are higher than before");
    is(sql("SELECT jsonb_path_query_first(history, '\$[*].error.why') #>> '{}' FROM durable_work.dead_letters WHERE queue = '$queue'"), 'x',
        "$mode: the dead letter has its history");
    is(sql("SELECT result FROM durable_work.inbox WHERE queue = '$queue' AND status = 'completed'"), '{"done": true}', "$mode: results are kept");
    sql("SELECT durable_work.resume_queue('${queue}_other')");
    is(sql("SELECT n FROM helper.claim('${queue}_other', 1)"), 'paused', "$mode: a resumed queue gives its job");
}

# The order is (priority, id), also of what was loaded. Claims and enqueues go on while a backlog loads.
sql(<<'SQL');
SELECT durable_work.create_queue('order');
SELECT count(*) FROM durable_work.enqueue_many('order', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 2000) i),
    priorities => (SELECT array_agg(i % 10) FROM generate_series(1, 2000) i));
SELECT durable_work.create_queue('backlog', lease => '1 h');
SELECT count(*) FROM durable_work.enqueue_many('backlog', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 60000) i));
CREATE TABLE helper.done (n text, who int);
SQL
$node->stop('immediate');
$node->start;

my @workers = map { new_session($node) } 1 .. 3;
my $producer = new_session($node);
# Each worker claims, records and completes in one transaction a round, until all 61,000 are done.
for my $i (0 .. $#workers) {
    $workers[$i]->query(<<"SQL");
CREATE PROCEDURE helper.drain_$i() LANGUAGE plpgsql AS \$\$
DECLARE
    mine record;
BEGIN
    FOR round IN 1 .. 100000 LOOP
        WITH c AS MATERIALIZED (SELECT * FROM durable_work.claim('backlog', 'worker $i', 97)),
             d AS MATERIALIZED (INSERT INTO helper.done SELECT payload->>'n', $i FROM c RETURNING 1)
        SELECT array_agg(job_id) AS jobs, array_agg(lease_token) AS tokens INTO mine FROM c;
        IF mine.jobs IS NOT NULL THEN
            PERFORM FROM durable_work.complete_many(mine.jobs, mine.tokens);
            COMMIT;
        ELSE
            COMMIT;
            EXIT WHEN (SELECT count(*) FROM helper.done) >= 61000;
            PERFORM pg_sleep(0.005);
        END IF;
    END LOOP;
END
\$\$;
SQL
}
$workers[$_]->send("CALL helper.drain_$_()") for 0 .. $#workers;
for my $i (1 .. 1000) {
    $producer->query(qq(SELECT FROM durable_work.enqueue('backlog', '{"n": "new $i"}')));
}
is($_->finish_sent, 'ok', 'a worker drains while the server loads and others enqueue') for @workers;
is(sql('SELECT count(*), count(DISTINCT n) FROM helper.done'), '61000|61000', 'every job of the backlog was done exactly once');
is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'backlog' AND status <> 'completed'}), '0', 'and all are completed');

is(sql(<<'SQL'), '2000|t', 'a loaded queue is handed out by priority and id');
CREATE TABLE helper.ordered AS
    SELECT row_number() OVER () AS place, job_id, (n::int % 10) AS priority FROM helper.claim('order', 2000);
SELECT count(*), bool_and(ok) FROM (
    SELECT (priority, job_id) > (lag(priority) OVER (ORDER BY place), lag(job_id) OVER (ORDER BY place))
           OR place = 1 AS ok FROM helper.ordered) o
SQL

# Three starts in a row: the epoch rises each time, and a queue that nothing happened to comes back.
my $epoch = sql('SELECT max(value) FROM durable_work.epoch');
for my $round (1 .. 3) {
    $node->restart;
    ok(wait_until($node, 'postgres', "SELECT max(value) > $epoch FROM durable_work.epoch"), "epoch rises at start $round");
    $epoch = sql('SELECT max(value) FROM durable_work.epoch');
}
is(sql('SELECT count(*) = count(DISTINCT value) FROM durable_work.epoch'), 't', 'no epoch twice');
is(sql('SELECT count(DISTINCT n) FROM helper.claim($$order$$, 2000)'), '2000', 'leases of a former life are pending again');

$_->quit for @workers, $producer;
$node->stop;
done_testing();
