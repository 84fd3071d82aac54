# More jobs than fit in memory: nothing is lost or repeated, another queue is not starved, and a job
# that is only on disk can be cancelled while the loader is at work. Memory holds 64 jobs, leased
# ones among them, so everything is worked off in small batches.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('spill', conf => ['durable_work.max_resident_jobs = 64']);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
CREATE TABLE helper.done (queue text, job_id bigint, place bigserial);
CREATE TABLE helper.cancelled (job_id bigint, answer text);
-- Claims and completes until as many as wanted are done or cancelled.
CREATE PROCEDURE helper.drain(from_queue text, wanted int) LANGUAGE plpgsql AS $$
DECLARE
    mine record;
    finished int;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    LOOP
        SELECT array_agg(job_id) AS jobs, array_agg(lease_token) AS tokens INTO mine FROM durable_work.claim(from_queue, 'w', 7);
        IF mine.jobs IS NULL THEN
            COMMIT;
            finished := (SELECT count(*) FROM helper.done WHERE queue = from_queue)
                + (SELECT count(*) FROM helper.cancelled WHERE answer = 'true' AND from_queue = 'q');
            EXIT WHEN finished >= wanted;
            IF clock_timestamp() > give_up THEN
                RAISE EXCEPTION 'gave up on % at % of %', from_queue, finished, wanted;
            END IF;
            PERFORM pg_sleep(0.005);
        ELSE
            -- One that is cancelled between the claim and this is not done: its cancel is counted once it has committed.
            INSERT INTO helper.done SELECT from_queue, j FROM unnest(mine.jobs, mine.tokens) u(j, t)
                WHERE durable_work.try_complete(j, t) = 'completed';
            COMMIT;
        END IF;
    END LOOP;
END
$$;
-- From the end, so that most of what it meets is on disk, and the loader meets it on the way.
CREATE PROCEDURE helper.cancel_some() LANGUAGE plpgsql AS $$
DECLARE
    job bigint;
BEGIN
    FOR job IN SELECT id FROM durable_work.inbox WHERE queue = 'q' AND payload->>'n' LIKE '%0' ORDER BY id DESC LOOP
        BEGIN
            INSERT INTO helper.cancelled VALUES (job, durable_work.cancel(job, 'q')::text);
        EXCEPTION WHEN SQLSTATE 'DW006' THEN
            INSERT INTO helper.cancelled VALUES (job, 'DW006');
        END;
        COMMIT;
    END LOOP;
END
$$;
CREATE FUNCTION helper.fill(queue text, jobs int) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM durable_work.enqueue_many(queue, (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, jobs) i));
$$;
SQL

# --- other queues, paused or asleep, fill the memory ----------------------------------------------
sql(<<'SQL');
SELECT durable_work.create_queue('hog');
SELECT durable_work.pause_queue('hog');
SELECT helper.fill('hog', 3000);
SELECT durable_work.create_queue('sleepers');
SELECT count(*) FROM durable_work.enqueue_many('sleepers', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 3000) i),
    available_ats => (SELECT array_agg(now() + interval '5 min') FROM generate_series(1, 3000)));
SELECT durable_work.create_queue('q', lease => '1 h');
SELECT helper.fill('q', 2000);
SELECT durable_work.enqueue('sleepers', '{"n": "due"}');
SQL
is(state_of($node, 'postgres', q{CALL helper.drain('sleepers', 1)}), 'ok', 'a queue whose sleepers fill its share gets on');
is(sql(q{SELECT payload->>'n' FROM helper.done JOIN durable_work.inbox ON id = job_id WHERE done.queue = 'sleepers'}), 'due',
    'a due job behind 3,000 sleepers of its queue is handed out');

# --- cancel what is on disk, while a worker drains and the loader refills -------------------------
my $worker = new_session($node);
my $canceller = new_session($node);
$worker->send(q{CALL helper.drain('q', 2000)});
$canceller->send('CALL helper.cancel_some()');
is($canceller->finish_sent, 'ok', 'jobs are cancelled while the loader is at work') or diag($canceller->errors);
is($worker->finish_sent, 'ok', 'the rest is worked off') or diag($worker->errors);
is(sql('SELECT count(*) - count(DISTINCT job_id) FROM helper.done'), '0', 'no job was handed out twice');
is(sql(q{SELECT count(*) FROM helper.done JOIN helper.cancelled USING (job_id) WHERE answer = 'true'}), '0', 'no cancelled job was worked on');
is(sql(q{SELECT count(*) FROM helper.cancelled WHERE answer = 'true'}) + sql(q{SELECT count(*) FROM helper.done WHERE queue = 'q'}), 2000, 'and none is missing');
cmp_ok(sql(q{SELECT count(*) FROM helper.cancelled WHERE answer = 'true'}), '>', 0, 'some were cancelled');
is(sql(q{SELECT string_agg(DISTINCT status, ',' ORDER BY status) FROM durable_work.inbox WHERE queue = 'q'}), 'cancelled,completed', 'every job is one or the other');

# An undecided cancel of a job on disk: nobody else may decide it, and a rollback leaves it as it was.
sql(q{TRUNCATE helper.done, helper.cancelled; SELECT helper.fill('q', 500)});
my $last = sql(q{SELECT max(id) FROM durable_work.inbox WHERE queue = 'q'});
$canceller->query('BEGIN');
is($canceller->query("SELECT durable_work.cancel($last)"), 't', 'the last of 500 is cancelled, not yet committed');
is(state_of($node, 'postgres', "SELECT durable_work.cancel($last)"), 'DW006', 'another one is told that it is in doubt');
sql(q{CALL helper.drain('q', 499)});
is(sql('SELECT count(*), count(DISTINCT job_id) FROM helper.done'), '499|499', 'all others are handed out');
is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', 'the undecided one is not');
$canceller->query('ROLLBACK');
is(sql(q{SELECT job_id FROM helper.claim('q', 1)}), $last, 'after the rollback it is handed out');

# --- sleepers that come due -----------------------------------------------------------------------
sql(<<'SQL');
SELECT durable_work.create_queue('waves');
SELECT count(*) FROM durable_work.enqueue_many('waves', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 1000) i),
    available_ats => (SELECT array_agg(now() + i * interval '1 ms') FROM generate_series(1, 1000) i));
CALL helper.drain('waves', 1000);
SQL
is(sql(q{SELECT count(*), count(DISTINCT job_id) FROM helper.done WHERE queue = 'waves'}), '1000|1000', 'a thousand jobs that become due are handed out once');

sql(q{SELECT durable_work.resume_queue('hog')});
sql(q{CALL helper.drain('hog', 3000)});
is(sql(q{SELECT count(*), count(DISTINCT job_id) FROM helper.done WHERE queue = 'hog'}), '3000|3000', 'the paused queue has kept all of its jobs');

# --- everything leased, the rest on disk, a crash -------------------------------------------------
sql(q{TRUNCATE helper.done, helper.cancelled; SELECT helper.fill('q', 300)});
cmp_ok(sql(q{SELECT count(*) FROM helper.claim('q', 10)}), '==', 10, 'some are leased');
$node->stop('immediate');
$node->start;
sql(q{CALL helper.drain('q', 301)});
is(sql('SELECT count(*), count(DISTINCT job_id) FROM helper.done'), '301|301', 'after a crash all that were leased or waiting come again');

$_->quit for $worker, $canceller;
$node->stop;
done_testing();
