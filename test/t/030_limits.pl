# The number of unfinished jobs is exact over crashes and spill, and a queue of limited length never
# holds more, whoever looks and whatever happens to those who enqueue.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('limits', conf => ['durable_work.max_resident_jobs = 64', 'fsync = on']);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
-- Counted in the log alone, by one snapshot: rows that no final outcome ends.
CREATE FUNCTION helper.count_log(wanted text) RETURNS bigint LANGUAGE sql STABLE AS $$
    WITH job AS (SELECT id, false AS parked FROM durable_work.job_0 WHERE topic = (SELECT topic FROM durable_work.queue WHERE name = wanted)
                 UNION ALL SELECT id, true FROM durable_work.parked WHERE topic = (SELECT topic FROM durable_work.queue WHERE name = wanted)),
         ended AS (SELECT m.id, false AS parked FROM durable_work.outcome_0 o, durable_work.outcome_members(o.first_id, o.last_id, o.body) m
                   WHERE m.kind IN ('completed', 'cancelled', 'dead_lettered', 'purged', 'moved')
                     AND m.queue = (SELECT id FROM durable_work.queue WHERE name = wanted)
                   UNION ALL
                   SELECT m.id, true FROM durable_work.parked_outcome o, durable_work.outcome_members(o.first_id, o.last_id, o.body) m
                   WHERE m.kind IN ('completed', 'cancelled', 'dead_lettered', 'purged')
                     AND m.queue = (SELECT id FROM durable_work.queue WHERE name = wanted))
    SELECT count(*) FROM job WHERE (id, parked) NOT IN (SELECT id, parked FROM ended)
$$;
CREATE FUNCTION helper.payloads(jobs int) RETURNS jsonb[] LANGUAGE sql AS $$
    SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, jobs) i $$;
-- A moment in which nobody does anything: both counts are the same.
CREATE FUNCTION helper.agree(wanted text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN unfinished = helper.count_log(wanted) AND ready + delayed + processing + spilled = unfinished THEN 'agree'
                ELSE format('counted %s (%s ready, %s delayed, %s processing, %s spilled), in the log %s', unfinished, ready, delayed,
                            processing, spilled, helper.count_log(wanted)) END
    FROM durable_work.queue_stats WHERE queue = wanted $$;
SQL

sub agrees {
    my ($queue, $what) = @_;
    wait_until($node, 'postgres', "SELECT unfinished IS NOT NULL FROM durable_work.queue_stats WHERE queue = '$queue'")
      or die "$queue is not counted";
    # The sweep and the housekeeper may be at it.
    wait_until($node, 'postgres', "SELECT helper.agree('$queue')", 'agree');
    is(sql("SELECT helper.agree('$queue')"), 'agree', $what);
    return;
}

# --- a backlog deeper than memory ------------------------------------------------------------------
sql(<<'SQL');
SELECT durable_work.create_queue('deep', lease => '1 h', max_attempts => 2, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT count(*) FROM durable_work.enqueue_many('deep', helper.payloads(2000));
SELECT durable_work.enqueue('deep', '{}', delay => '1 d') FROM generate_series(1, 5);
SELECT durable_work.enqueue('deep', '{}', delay => '10 min') FROM generate_series(1, 5);
INSERT INTO helper.held SELECT * FROM helper.claim('deep', 20);
SELECT durable_work.complete(job_id, token) FROM (SELECT * FROM helper.held ORDER BY job_id LIMIT 7) h;
SELECT durable_work.fail(job_id, token, retryable => false) FROM (SELECT * FROM helper.held ORDER BY job_id OFFSET 7 LIMIT 3) h;
SELECT durable_work.cancel(job_id) FROM (SELECT * FROM helper.held ORDER BY job_id OFFSET 10 LIMIT 2) h;
SELECT durable_work.cancel(max(id)) FROM durable_work.inbox WHERE queue = 'deep';
SQL
is(sql(q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'deep'}), 2010 - 13, 'the count of a spilled queue is known at once');
agrees('deep', 'and it is what the log says');

# --- crashes ---------------------------------------------------------------------------------------
sub crash {
    $node->stop('immediate');
    $node->start;
    return;
}
for my $round (1 .. 3) {
    my $open = new_session($node);
    $open->query(q{BEGIN; SELECT count(*) FROM durable_work.enqueue_many('deep', helper.payloads(100))});
    $open->query(q{SELECT count(durable_work.complete(job_id, lease_token)) FROM helper.claim('deep', 5)});
    crash();
    $open->quit;
    agrees('deep', "counted again after crash $round");
    sql(q{SELECT count(durable_work.complete(job_id, lease_token)) FROM helper.claim('deep', 30)});
    sql(q{SELECT count(*) FROM durable_work.enqueue_many('deep', helper.payloads(50))});
    agrees('deep', "and goes on from there, round $round");
}

# One that loses a backend: the server starts itself anew, with new shared memory.
{
    my $victim = new_session($node);
    $victim->query(q{BEGIN; SELECT count(*) FROM durable_work.enqueue_many('deep', helper.payloads(10))});
    kill('KILL', $victim->pid);
    $victim->quit;
    wait_until($node, 'postgres', 'SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $victim->pid . ')') or die 'the server did not come back';
    agrees('deep', 'counted again after a backend was killed');
}

# Rows from before the count is known, and transactions that began before.
{
    $node->stop('fast');
    $node->start;
    my @sessions = map { new_session($node) } 1 .. 6;
    $_->send(q{BEGIN; SELECT count(*) FROM durable_work.enqueue_many('deep', helper.payloads(20)); COMMIT}) for @sessions;
    is($_->finish_sent, 'ok', 'enqueues while the server starts') for @sessions;
    $_->quit for @sessions;
    agrees('deep', 'those are counted once');
    # A restore, or anything else past the functions, makes the engine count anew.
    my $open = new_session($node);
    $open->query(q{BEGIN; SELECT count(*) FROM durable_work.enqueue_many('deep', helper.payloads(20))});
    $open->query(q{INSERT INTO helper.held SELECT * FROM helper.claim('deep', 3)});
    my $epochs = sql('SELECT count(*) FROM durable_work.epoch');
    sql(q{INSERT INTO durable_work.job_0 (id, enqueued_at, topic, key_hash, priority, payload)
          SELECT 1000000 + i, now(), (SELECT topic FROM durable_work.queue WHERE name = 'deep'), 0, 4, '{}' FROM generate_series(1, 9) i});
    wait_until($node, 'postgres', "SELECT count(*) > $epochs FROM durable_work.epoch") or die 'nothing was loaded again';
    $open->query('COMMIT');
    $open->query(q{SELECT count(durable_work.complete(job_id, token)) FROM (SELECT * FROM helper.held ORDER BY token DESC LIMIT 3) h});
    $open->quit;
    agrees('deep', 'rows that came in past the functions are counted');
}
sql(q{SELECT durable_work.drop_queue('deep', force => true)});

# --- a queue that takes 25 -------------------------------------------------------------------------
# Producers in every manner, workers, and an observer who counts in the log with one snapshot.
sql(<<'SQL');
SELECT durable_work.create_queue('full', max_length => 25, max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0);
CREATE TABLE helper.seen (length bigint);
CREATE TABLE helper.told (what text);
CREATE PROCEDURE helper.produce(seed double precision, rounds int) LANGUAGE plpgsql AS $$
DECLARE
    what int;
    answer text;
BEGIN
    PERFORM setseed(seed);
    FOR i IN 1 .. rounds LOOP
        what := floor(random() * 8);
        answer := 'ok';
        BEGIN
            IF what = 0 THEN
                PERFORM durable_work.enqueue_many('full', helper.payloads((random() * 9)::int + 1));
            ELSIF what = 1 THEN
                INSERT INTO durable_work.inbox (queue, payload) SELECT 'full', '{}' FROM generate_series(1, 3);
            ELSIF what = 2 THEN
                PERFORM durable_work.enqueue('full', '{}', idempotency_key => (random() * 20)::int::text);
            ELSIF what = 3 THEN
                PERFORM durable_work.enqueue('full', '{}', idempotency_key => (random() * 5)::int::text, unique_while => 'pending');
            ELSIF what = 4 THEN
                PERFORM durable_work.enqueue('full', '{}', delay => '20 ms');
                RAISE EXCEPTION 'never mind' USING ERRCODE = 'P0099';
            ELSIF what = 5 THEN
                PERFORM set_config('statement_timeout', '1ms', true);
                PERFORM durable_work.enqueue_many('full', helper.payloads(5));
                PERFORM pg_sleep(0.01);
            ELSE
                PERFORM durable_work.enqueue('full', '{}');
            END IF;
        EXCEPTION WHEN OTHERS THEN
            answer := SQLSTATE;
        END;
        INSERT INTO helper.told VALUES (answer);
        IF random() < 0.3 THEN
            ROLLBACK;
        ELSE
            COMMIT;
        END IF;
    END LOOP;
END $$;
CREATE PROCEDURE helper.work(rounds int) LANGUAGE plpgsql AS $$
DECLARE
    job record;
BEGIN
    FOR i IN 1 .. rounds LOOP
        FOR job IN SELECT * FROM durable_work.claim('full', 'w' || pg_backend_pid(), 4) LOOP
            IF random() < 0.7 THEN
                PERFORM durable_work.complete(job.job_id, job.lease_token);
            ELSE
                PERFORM durable_work.fail(job.job_id, job.lease_token);
            END IF;
        END LOOP;
        IF random() < 0.1 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
CREATE PROCEDURE helper.observe(rounds int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. rounds LOOP
        INSERT INTO helper.seen VALUES (helper.count_log('full'));
        COMMIT;
    END LOOP;
END $$;
SQL
{
    my @producers = map { new_session($node) } 1 .. 8;
    my @workers = map { new_session($node) } 1 .. 3;
    my @observers = map { new_session($node) } 1 .. 2;
    my $seed = 0;
    $_->send('CALL helper.produce(' . ($seed += 0.1) . ', 150)') for @producers;
    $_->send('CALL helper.work(300)') for @workers;
    $_->send('CALL helper.observe(150)') for @observers;
    # Two of them end in the middle of what they do.
    my @ended = splice(@producers, 0, 2);
    sql('SELECT pg_terminate_backend(' . $_->pid . ')') for @ended;
    $_->finish_sent for @ended;
    is($_->finish_sent, 'ok', 'a producer got through') or diag($_->errors) for @producers;
    is($_->finish_sent, 'ok', 'a worker got through') or diag($_->errors) for @workers;
    is($_->finish_sent, 'ok', 'an observer got through') or diag($_->errors) for @observers;
    $_->quit for @producers, @workers, @observers, @ended;
}
cmp_ok(sql('SELECT max(length) FROM helper.seen'), '<=', 25, 'nobody ever saw more than 25 unfinished jobs');
cmp_ok(sql(q{SELECT count(*) FROM helper.told WHERE what = 'DW005'}), '>', 20, 'and the queue was full often enough');
is(sql(q{SELECT string_agg(DISTINCT what, ' ') FROM helper.told WHERE what NOT IN ('ok', 'DW005', 'DW006', 'P0099', '57014')}), '',
    'there were no other errors');
agrees('full', 'the count is what the log says');

# No room has leaked: it can be filled to the last place, and no further.
my $free = 25 - sql(q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'full'});
is(state_of($node, 'postgres', "SELECT durable_work.enqueue_many('full', helper.payloads($free))"), 'ok', 'the last place can be taken')
  if $free > 0;
is(state_of($node, 'postgres', q{SELECT durable_work.enqueue('full', '{}')}), 'DW005', 'and no further');
is(sql(q{SELECT helper.count_log('full')}), 25, 'it is full');

# --- right after a start ---------------------------------------------------------------------------
crash();
my @rush = map { new_session($node) } 1 .. 5;
$_->send(q{SELECT durable_work.enqueue('full', '{}')}) for @rush;
is($_->finish_sent, 'DW005', 'an enqueue waits for the count, and finds the queue full') or diag($_->errors) for @rush;
is(sql(q{SELECT count(durable_work.complete(job_id, lease_token)) FROM helper.claim('full', 2)}), 2, 'two places become free');
my %answers;
$_->send(q{SELECT durable_work.enqueue('full', '{}')}) for @rush;
$answers{ $_->finish_sent }++ for @rush;
is_deeply(\%answers, { ok => 2, DW005 => 3 }, 'two of five get them');
$_->quit for @rush;

# --- the oldest goes -------------------------------------------------------------------------------
sql(<<'SQL');
SELECT durable_work.create_queue('ring', max_length => 10, overflow => 'drop_oldest');
CREATE PROCEDURE helper.spin(rounds int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. rounds LOOP
        BEGIN
            PERFORM durable_work.enqueue_many('ring', helper.payloads((random() * 3)::int + 1));
        EXCEPTION WHEN SQLSTATE 'DW005' THEN
            NULL;
        END;
        IF random() < 0.3 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
CREATE PROCEDURE helper.observe_ring(rounds int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. rounds LOOP
        INSERT INTO helper.seen VALUES (helper.count_log('ring'));
        COMMIT;
    END LOOP;
END $$;
TRUNCATE helper.seen;
SQL
{
    my @producers = map { new_session($node) } 1 .. 6;
    my $observer = new_session($node);
    $_->send('CALL helper.spin(60)') for @producers;
    $observer->send('CALL helper.observe_ring(60)');
    is($_->finish_sent, 'ok', 'a producer of the ring got through') or diag($_->errors) for @producers;
    is($observer->finish_sent, 'ok', 'so did its observer');
    $_->quit for @producers, $observer;
}
cmp_ok(sql('SELECT max(length) FROM helper.seen'), '<=', 10, 'a ring of 10 never holds more');
agrees('ring', 'its count is what the log says');
is(sql(q{SELECT dead_letter = dead_lettered AND dead_letter = enqueued - unfinished FROM durable_work.queue_stats WHERE queue = 'ring'}),
    't', 'every job that went is a dead letter');
is(sql(q{SELECT count(*) FROM durable_work.dead_letters WHERE queue = 'ring' AND reason <> 'overflow'}), 0, 'for overflow');

# --- headers: the setting follows a reload of the configuration ------------------------------------
my $long = q{SELECT durable_work.enqueue('ring', '{}', headers => jsonb_build_object('h', repeat('x', 2000)))};
is(state_of($node, 'postgres', $long), 'ok', 'headers of 2 kB');
$node->append_conf('postgresql.conf', "durable_work.max_headers = '1 kB'");
$node->reload;
wait_until($node, 'postgres', "SELECT current_setting('durable_work.max_headers') = '1kB'");
is(state_of($node, 'postgres', $long), '22023', 'are refused once the setting says so');

$node->stop;
done_testing();
