# Registered workers over the life of a server: who is alive, what a restart, a dump and a standby know of them, waiting
# for own jobs, and a deploy under load in which no lease runs out.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('workers', conf => [ "durable_work.heartbeat_interval = '200 ms'", "durable_work.worker_dead_after = '1 h'", "durable_work.max_wait = '1 h'", 'max_prepared_transactions = 1' ], init => { allows_streaming => 1 });
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub becomes { return ok(wait_until($node, 'postgres', $_[0], $_[2]), $_[1]); }

sub set_dead_after {
    my ($span) = @_;
    sql("ALTER SYSTEM SET durable_work.worker_dead_after = '$span'");
    sql('SELECT pg_reload_conf()');
    return;
}

sub waiting {
    my ($session, $what) = @_;
    my $pid = $session->pid;
    return becomes("SELECT coalesce((SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid), false)", $what // 'the session waits');
}

sql(q{SELECT durable_work.create_queue('q', backoff => 'fixed', backoff_base => '0', jitter => 0)});
my %instance;
$instance{$_} = sql("SELECT durable_work.register_worker('$_', '{q}')") for qw(a b);
# A key of a bucket that the worker owns.
my %key = map { my $w = $_; $w => sql("SELECT k FROM (SELECT 'k' || n AS k FROM generate_series(1, 1000) n) k WHERE durable_work.ring_owner('q', k) = '$w' LIMIT 1") } qw(a b);
sub enqueue { return sql("SELECT job_id FROM durable_work.enqueue('q', '{\"n\": \"$_[1]\"}', partition_key => '$key{$_[0]}')"); }
sub owned { return "SELECT payload->>'n' FROM durable_work.claim('q', '$_[0]', 1, owned_only => true, instance => $instance{$_[0]}" . ($_[1] // '') . ')'; }

# --- waiting for own jobs -------------------------------------------------------------------------
my $one = new_session($node);
my $two = new_session($node);
$one->send(owned('a', q{, wait => '5 s'}));
waiting($one, 'a claim of owned jobs sleeps');
$two->send("CALL durable_work.wait_for_work('{q}', '60 s', worker => 'b', instance => $instance{b}); " . owned('b'));
waiting($two, 'so does wait_for_work');
my $keeper = housekeeper($node, 'postgres');
signal_stopped($keeper);
enqueue('b', 'for b');
is($two->finish_sent, 'ok', 'the owner of the job is woken');
is($two->output, 'for b', 'and has it');
enqueue('a', 'for a');
is($one->finish_sent, 'ok', 'the other one slept on until its own came');
is($one->output, 'for a', 'and has it');
kill 'CONT', $keeper;

# A waiter that goes away passes its wake on to one that takes any job.
$one->send(owned('a', q{, wait => '5 s'}));
waiting($one);
$two->send(q{CALL durable_work.wait_for_work('{q}', '60 s'); SELECT payload->>'n' FROM durable_work.claim('q', 'any', 1)});
waiting($two);
signal_stopped($keeper);
signal_stopped($one->pid);
enqueue('a', 'passed on');
sql('SELECT pg_cancel_backend(' . $one->pid . ')');
kill 'CONT', $one->pid;
is($one->finish_sent, '57014', 'a woken waiter is cancelled');
is($two->finish_sent, 'ok', 'the next one is woken');
is($two->output, 'passed on', 'and has the job');
kill 'CONT', $keeper;

# --- draining wakes who waits ---------------------------------------------------------------------
for my $owned ('true', 'false') {
    $one->send("SELECT count(*) FROM durable_work.claim('q', 'a', 1, wait => '5 s', owned_only => $owned, instance => $instance{a})");
    waiting($one);
    sql(q{BEGIN; SELECT durable_work.drain_worker('a'); ROLLBACK});
    waiting($one, 'a drain that is rolled back ends nothing');
    sql(q{SELECT durable_work.drain_worker('a', '1 h')});
    is($one->finish_sent, 'ok', 'a waiting claim ends when its worker is to drain');
    is($one->output, '0', 'without a job');
    sql(q{SELECT count(*) FROM (SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE worker = 'a') c});
    becomes(q{SELECT count(*) = 0 FROM durable_work.workers WHERE worker = 'a'}, 'when it holds nothing the worker is gone');
    is(state_of($node, 'postgres', owned('a')), 'DW006', 'and its claims are refused');
    $instance{a} = sql(q{SELECT durable_work.register_worker('a', '{q}')});
}

# --- a deadline that comes by itself --------------------------------------------------------------
# The lease ends after the deadline and long before anything else: who did not look at the deadline would find it expired.
enqueue('a', 'late');
my $late = $one->query("SELECT job_id FROM durable_work.claim('q', 'a', 1, lease => '20 s', owned_only => true, instance => $instance{a})");
is(sql(q{SELECT durable_work.drain_worker('a', '300 ms')}), '1', 'a worker is to drain, and holds a job');
# Looked at through a session that is there already and only reads views.
my $gone = 0;
for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default) {
    last if $gone = $one->query(q{SELECT count(*) = 0 FROM durable_work.workers WHERE worker = 'a'}) eq 't';
    select undef, undef, undef, 0.01;
}
ok($gone, 'at the deadline the worker is gone, without anybody doing anything');
is($one->query("SELECT status, attempts FROM durable_work.inbox WHERE id = $late"), 'pending|0', 'its job waits, and the attempt does not count');
is($one->query("SELECT attempt FROM durable_work.claim('q', 'other', 1) WHERE job_id = $late"), '1', 'others get it');
is($one->query("SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE job_id = $late"), 't', 'and do it');
$instance{a} = sql(q{SELECT durable_work.register_worker('a', '{q}')});

# --- another process of the name ------------------------------------------------------------------
# One sleeps in a claim, one in wait_for_work, which would go on longer than this test may.
for my $owned ('true', 'false') {
    $two->send("CALL durable_work.wait_for_work('{q}', '1 h', worker => 'a', instance => $instance{a})");
    waiting($two, 'wait_for_work of a worker sleeps');
    cmp_ok(sql(q{BEGIN; SELECT durable_work.register_worker('a', '{q}'); ROLLBACK}), '>', $instance{a}, 'a registration that is rolled back');
    waiting($two, 'ends nothing');
    $one->send("SELECT count(*) FROM durable_work.claim('q', 'a', 1, wait => '5 s', owned_only => $owned, instance => $instance{a})");
    waiting($one, 'a claim sleeps, too');
    # Both in one transaction: who would look again only after the commit would be given the job.
    my ($later) = split /\n/, sql("BEGIN; SELECT durable_work.register_worker('a', '{q}'); SELECT job_id FROM durable_work.enqueue('q', '{\"n\": \"new\"}', partition_key => '$key{a}'); COMMIT");
    is($two->finish_sent, 'ok', 'wait_for_work ends when the name is registered again');
    is($one->finish_sent, 'ok', 'the waiting claim does');
    is($one->output, '0', 'and has no job, although there is one');
    is($two->try("CALL durable_work.wait_for_work('{q}', '1 h', worker => 'a', instance => $instance{a})"), 'DW006', 'the next wait_for_work is refused');
    is($one->try("SELECT durable_work.claim('q', 'a', 1, wait => '5 s', owned_only => $owned, instance => $instance{a})"), 'DW006', 'as is the next claim');
    is($one->try("SELECT durable_work.complete_and_claim('{}', '{}', 'q'::text, 'a', 1, owned_only => $owned, instance => $instance{a})"), 'DW006', 'and complete_and_claim');
    $instance{a} = $later;
    is(sql(owned('a')), 'new', 'the later process has the job');
    sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE worker = 'a'});
}

# --- dead and back --------------------------------------------------------------------------------
set_dead_after('300 ms');
becomes(q{SELECT bool_and(state = 'dead' AND buckets_owned = 0) FROM durable_work.workers}, 'workers that are not seen are dead, and own nothing');
is(sql("SELECT durable_work.ring_owner('q', 'k') IS NULL"), 't', 'nobody owns the key');
is(sql("SELECT count(*) FROM durable_work.heartbeat('a', instance => $instance{a}); SELECT durable_work.ring_owner('q', 'k')"), "0\na", 'a heartbeat brings one back');
# Who sleeps for work is alive.
$two->send("CALL durable_work.wait_for_work('{q}', '60 s', worker => 'b', instance => $instance{b}); " . owned('b'));
waiting($two);
becomes(q{SELECT state = 'alive' FROM durable_work.workers WHERE worker = 'b'}, 'one that sleeps is alive');
becomes(q{SELECT state = 'dead' FROM durable_work.workers WHERE worker = 'a'}, 'the other one is dead again');
is(sql(q{SELECT state || ' ' || buckets_owned FROM durable_work.workers WHERE worker = 'b'}), 'alive 360', 'the sleeper is still alive, and owns everything');
enqueue('a', 'of the dead');
is($two->finish_sent, 'ok', 'it is woken for a job of the dead one');
is($two->output, 'of the dead', 'and has it');

# --- restart --------------------------------------------------------------------------------------
set_dead_after('1 h');
$_->quit for $one, $two;
sql(q{SELECT durable_work.register_worker('draining', '{q}')});
sql(q{SELECT count(*) FROM durable_work.enqueue('q', '{}'); SELECT durable_work.claim('q', 'draining', 1, instance => instance) FROM durable_work.workers WHERE worker = 'draining'});
is(sql(q{SELECT durable_work.drain_worker('draining', '1 h')}), '1', 'one drains and holds a job');
$node->restart;
becomes(q{SELECT string_agg(worker || ' ' || state, ', ' ORDER BY worker) = 'a alive, b alive' FROM durable_work.workers}, 'after a restart workers are known, and count as seen; one that drained holds nothing any more');
is(sql("SELECT count(*) FROM durable_work.heartbeat('a', instance => $instance{a})"), '0', 'their instances are those of before');
is(sql(q{SELECT sum(buckets_owned) FROM durable_work.workers}), '360', 'and they own buckets');
# A claim, and wait_for_work, that begin before the workers have been read: they know their registration as soon as it is known.
becomes(q{SELECT durable_work.purge_queue('q') >= 0}, 'what is left of before is taken away');
enqueue('a', 'early');
sql(q{BEGIN; LOCK TABLE durable_work.worker; PREPARE TRANSACTION 'unread'});
$node->restart;
($one, $two) = map { new_session($node) } 1 .. 2;
$two->send("CALL durable_work.wait_for_work('{q}', '1 h', worker => 'b', instance => $instance{b}); " . owned('b'));
waiting($two, 'wait_for_work begins before the workers are known');
$one->send(owned('a', q{, wait => '5 s'}));
waiting($one, 'so does a claim');
sql(q{COMMIT PREPARED 'unread'});
is($one->finish_sent, 'ok', 'the claim ends');
# Or it was too late, on a slow machine.
is($one->output || sql(owned('a', q{, wait => '5 s'})), 'early', 'with the job of its own');
waiting($two, 'the other one sleeps on until its own comes');
enqueue('b', 'later');
is($two->finish_sent, 'ok', 'and is woken');
is($two->output, 'later', 'and has it');
$_->quit for $one, $two;
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases});
is(sql("SELECT durable_work.register_worker('c', '{q}') > $instance{b}"), 't', 'numbers of registrations go on');
# A housekeeper that is killed finds the members where they are.
kill 'TERM', housekeeper($node, 'postgres');
becomes(q{SELECT count(*) = 3 FROM durable_work.workers WHERE state = 'alive'}, 'another housekeeper changes nothing');

# --- a dump, a standby ----------------------------------------------------------------------------
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
unlike(slurp_file($dump), qr/COPY durable_work\.worker /, 'a dump has no workers');
like(slurp_file($dump), qr/worker_instance_seq/, 'but the numbers of their registrations');

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('workers_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT string_agg(worker || coalesce(state, '?'), ' ' ORDER BY worker) FROM durable_work.workers}), 'a? b? c?', 'a standby knows who is registered, and not who is alive');
is(state_of($standby, 'postgres', q{SELECT durable_work.register_worker('d', '{q}')}), '25006', 'nobody registers there');
$standby->promote;
ok(wait_until($standby, 'postgres', q{SELECT bool_and(state = 'alive') FROM durable_work.workers}, 't'), 'promoted, it gives each its time to come');
$standby->stop;

# --- a deploy under load --------------------------------------------------------------------------
sql(q{SELECT durable_work.deregister_worker(worker) FROM durable_work.workers});
sql(<<'SQL');
SELECT durable_work.create_queue('load', lease => '20 s');
CREATE TABLE done (job_id bigint PRIMARY KEY, worker text, instance bigint, attempt int, owner text);
CREATE TABLE stop (what text);
CREATE PROCEDURE produce() LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM stop WHERE what = 'produce') LOOP
        PERFORM durable_work.enqueue('load', '{}', partition_key => 'k' || (random() * 200)::int);
        COMMIT;
    END LOOP;
END $$;
-- Works until its worker is to end: then claims return nothing, or the worker is not registered any more.
CREATE PROCEDURE work(who text) LANGUAGE plpgsql AS $$
DECLARE
    me bigint;
    jobs durable_work.claimed_job[];
    job durable_work.claimed_job;
BEGIN
    me := durable_work.register_worker(who, '{load}');
    COMMIT;
    LOOP
        -- Its last job may have been the end of its registration.
        BEGIN
            PERFORM durable_work.heartbeat(who, instance => me);
            jobs := ARRAY(SELECT c FROM durable_work.claim('load', who, 5, wait => '100 ms', owned_only => true, instance => me) c);
        EXCEPTION WHEN SQLSTATE 'DW006' THEN
            EXIT;
        END;
        COMMIT;
        EXIT WHEN jobs = '{}' AND NOT EXISTS (SELECT FROM durable_work.workers WHERE worker = who AND instance = me AND state = 'alive');
        FOREACH job IN ARRAY jobs LOOP
            PERFORM durable_work.complete(job.job_id, job.lease_token);
            INSERT INTO done VALUES (job.job_id, who, me, job.attempt, durable_work.ring_owner('load', job.partition_key));
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
SQL
my $producer = new_session($node);
$producer->send('CALL produce()');
my %worker;
for my $name (qw(w1 w2 w3)) {
    $worker{$name} = new_session($node);
    $worker{$name}->send("CALL work('$name')");
}
becomes(q{SELECT count(DISTINCT worker) = 3 FROM done}, 'three workers work');
for my $name (qw(w1 w2 w3)) {
    my $before = sql("SELECT instance FROM durable_work.workers WHERE worker = '$name'");
    sql("SELECT durable_work.drain_worker('$name', '60 s')");
    is($worker{$name}->finish_sent, 'ok', "$name ends") or diag($worker{$name}->errors);
    becomes("SELECT count(*) = 0 FROM durable_work.workers WHERE worker = '$name'", "$name is deregistered");
    is(sql("SELECT count(*) FROM durable_work.leases WHERE worker = '$name'"), '0', "$name holds nothing");
    $worker{$name}->send("CALL work('$name')");
    becomes("SELECT count(*) > 0 FROM done WHERE worker = '$name' AND instance > $before", "its successor works");
}
sql(q{INSERT INTO stop VALUES ('produce')});
is($producer->finish_sent, 'ok', 'the producer ends');
becomes(q{SELECT unfinished = 0 FROM durable_work.queue_stats WHERE queue = 'load'}, 'everything is worked off');
sql("SELECT durable_work.drain_worker('$_')") for qw(w1 w2 w3);
is($worker{$_}->finish_sent, 'ok', "$_ ends") for qw(w1 w2 w3);
is(sql(q{SELECT expired || ' ' || failed FROM durable_work.queue_stats WHERE queue = 'load'}), '0 0', 'no lease ran out');
is(sql(q{SELECT count(*) - (SELECT enqueued FROM durable_work.queue_stats WHERE queue = 'load') FROM done}), '0', 'each job was done once');
is(sql('SELECT max(attempt) FROM done'), '1', 'with its first attempt');
cmp_ok(sql('SELECT count(*) FROM done'), '>', 50, 'there was a load');
$_->quit for $producer, values %worker;
$node->stop;
done_testing();
