# Dead letters over a crash, a restart, a dump and a spill: passed on with the decision or not at all; a redrive is all
# or nothing, and one at a rate goes on where it stood.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('dead_letters', conf => ['durable_work.max_resident_jobs = 1024']);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sub crash {
    $node->stop('immediate');
    $node->start;
}

sql(<<'SQL');
SELECT durable_work.create_queue('morgue');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 1, dead_letter_queue => 'morgue');
SELECT durable_work.create_queue('other');
-- Makes so many dead letters.
CREATE PROCEDURE helper.kill(jobs int, reason text DEFAULT 'bad') LANGUAGE plpgsql AS $$
DECLARE
    first int := coalesce((SELECT max((payload->>'n')::int) FROM durable_work.inbox WHERE queue IN ('q', 'other')), 0);
BEGIN
    PERFORM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', first + i) ORDER BY i) FROM generate_series(1, jobs) i));
    COMMIT;
    WHILE jobs > 0 LOOP
        TRUNCATE helper.held;
        INSERT INTO helper.held SELECT * FROM helper.claim('q', least(jobs, 200));
        COMMIT;
        PERFORM durable_work.reject(job_id, token, reason) FROM helper.held;
        COMMIT;
        jobs := jobs - 200;
    END LOOP;
END
$$;
-- Claims and completes so many and remembers them.
CREATE TABLE helper.done (job_id bigint, n int, attempt int, token bigint);
CREATE PROCEDURE helper.work(queue text, jobs int) LANGUAGE plpgsql AS $$
BEGIN
    WHILE jobs > 0 LOOP
        TRUNCATE helper.held;
        INSERT INTO helper.held SELECT * FROM helper.claim(queue, least(jobs, 100));
        COMMIT;
        INSERT INTO helper.done SELECT job_id, n::int, attempt, token FROM helper.held WHERE durable_work.complete(job_id, token);
        COMMIT;
        jobs := jobs - 100;
    END LOOP;
END
$$;
SQL

# --- passed on with the dead letter, or not at all ------------------------------------------------
sql(q{SELECT count(*) FROM durable_work.enqueue_many('q', ARRAY['{"n": 1}', '{"n": 2}']::jsonb[])});
sql(q{INSERT INTO helper.held SELECT * FROM helper.claim('q', 2)});
my $session = new_session($node);
$session->query('BEGIN');
$session->query(q{SELECT durable_work.reject(job_id, token, 'open') FROM helper.held WHERE n = '1'});
sql(q{SELECT durable_work.reject(job_id, token, 'decided') FROM helper.held WHERE n = '2'});
crash();
is(sql(q{SELECT string_agg(payload->>'n', ',') FROM durable_work.dead_letters WHERE queue = 'q'}), '2', 'a crash keeps the dead letter that was committed, and no other');
is(sql(q{SELECT n FROM helper.claim('morgue', 1)}), '2', 'and so it does with the job made of it');
is(sql(q{SELECT count(*) FROM durable_work.claim('morgue', 'w')}), '0', 'there is no job of the one that was open');
is(sql(q{SELECT n FROM helper.claim('q', 1)}), '1', 'which waits again');
sql(q{SELECT durable_work.drop_queue('morgue', force => true)});
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'q'});
sql(q{SELECT durable_work.discard_dead_letter(job_id, queue) FROM durable_work.dead_letters});
$session->quit;

# --- a redrive at once: all or nothing over a crash -----------------------------------------------
sql('CALL helper.kill(3000)');
my $stale = sql(q{SELECT job_id || ', ' || token FROM helper.held LIMIT 1});
$session = new_session($node);
$session->query('BEGIN');
is($session->query(q{SELECT durable_work.redrive('q')}), '3000', 'three thousand are redriven, not yet committed');
crash();
is(sql(q{SELECT count(*) FROM durable_work.dead_letters}), '3000', 'a crash before the commit leaves them all dead');
is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', 'and none to claim');
$session->quit;
is(sql(q{SELECT durable_work.redrive('q', max_jobs => 2500)}), '2500', 'the oldest are redriven');
crash();
is(sql(q{SELECT count(*) FROM durable_work.dead_letters}), '500', 'a crash after the commit leaves the others dead');
sql(q{CALL helper.work('q', 2500)});
is(sql('SELECT count(*), count(DISTINCT job_id), min(attempt), max(attempt) FROM helper.done'), '2500|2500|1|1', 'each is handed out once, its attempts counted anew, more of them than memory holds');
is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', 'and nothing else');
is(state_of($node, 'postgres', "SELECT durable_work.complete($stale)"), 'DW001', 'a token from before stays refused');
is(sql("SELECT min(d.token) > (SELECT split_part('$stale', ', ', 2)::bigint) FROM helper.done d"), 't', 'tokens have risen');
crash();
is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', 'what was redriven and completed does not come again after a crash');
is(sql(q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) n FROM durable_work.inbox WHERE queue = 'q' GROUP BY 1) s}),
    'cancelled 1, completed 2501, dead_letter 500', 'every job is what it should be');

# --- at a rate: goes on after a crash, a restart, in a restored copy ------------------------------
is(sql(q{SELECT durable_work.redrive('q', to_queue => 'other', rate_per_second => 200)}), '500', 'a redrive at a rate says how many fit');
ok(wait_until($node, 'postgres', 'SELECT moved BETWEEN 20 AND 499 FROM durable_work.redrives'), 'it is under way');
crash();
ok(wait_until($node, 'postgres', 'SELECT moved > 0 FROM durable_work.redrives'), 'its progress is kept');
is(sql(q{SELECT moved + (SELECT count(*) FROM durable_work.dead_letters) FROM durable_work.redrives}), '500', 'and fits what is left');
$node->restart;
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '--format=custom', '--file', $file, 'postgres' ], 'pg_dump in the middle of it');
sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', 'copy', $file ], 'pg_restore');
for my $database (qw(postgres copy)) {
    ok(wait_until($node, $database, q{SELECT state = 'done' FROM durable_work.redrives}), "$database: it comes to its end");
    is($node->safe_psql($database, 'SELECT matched, moved, error IS NULL FROM durable_work.redrives'), '500|500|t', "$database: all were moved");
    is($node->safe_psql($database, 'SELECT count(*) FROM durable_work.dead_letters'), '0', "$database: none is dead");
    $node->safe_psql($database, q{TRUNCATE helper.done; CALL helper.work('other', 500)});
    is($node->safe_psql($database, 'SELECT count(*), count(DISTINCT job_id), min(attempt), max(attempt) FROM helper.done'), '500|500|1|1', "$database: each is handed out once");
    is($node->safe_psql($database, q{SELECT count(*) FROM durable_work.claim('other', 'w')}), '0', "$database: and nothing else");
}
is($node->safe_psql('copy', q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) n FROM durable_work.inbox WHERE queue = 'q' GROUP BY 1) s}),
    'cancelled 1, completed 2501', 'the copy knows what became of the others');

# --- jobs that die again while it goes on are not moved again -------------------------------------
sql('CALL helper.kill(40)');
is(sql(q{SELECT durable_work.redrive('q', rate_per_second => 100)}), '40', 'forty more');
sql(<<'SQL');
DO $$
BEGIN
    FOR i IN 1..40 LOOP
        TRUNCATE helper.held;
        INSERT INTO helper.held SELECT * FROM helper.claim('q', 1);
        COMMIT;
        PERFORM durable_work.reject(job_id, token, 'again') FROM helper.held;
        COMMIT;
    END LOOP;
END $$;
SQL
ok(wait_until($node, 'postgres', q{SELECT bool_and(state = 'done') FROM durable_work.redrives}), 'it ends though they die again');
is(sql(q{SELECT count(*), min(reason) FROM durable_work.dead_letters}), '40|again', 'and they stay dead');

$node->stop;
done_testing();
