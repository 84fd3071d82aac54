# Limits under 64 connections, seen from outside: the workers write down when they had a job in their hands, and
# nothing else is asked. With crashes, prepared transactions and a restored dump.
use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('queue_limits', conf => [ 'max_connections = 100', 'max_prepared_transactions = 10' ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
CREATE TABLE helper.journal (queue text, key text, job bigint, asked timestamptz, began timestamptz, ended timestamptz);
-- Works until the queue is empty. What is written down lies within the time of the lease, so others can see less than
-- there is, never more; asked and began lie around the hand-out.
-- Nobody finishes the first job before so many are in flight as `together` says.
CREATE PROCEDURE helper.work(of_queue text, worker text, patience interval, together int) LANGUAGE plpgsql AS $$
DECLARE
    mine record;
    asked timestamptz;
    began timestamptz;
BEGIN
    LOOP
        asked := clock_timestamp();
        SELECT job_id, lease_token, partition_key INTO mine FROM durable_work.claim(of_queue, worker, 1, wait => patience);
        began := clock_timestamp();
        COMMIT;
        IF mine.job_id IS NULL THEN
            EXIT WHEN (SELECT unfinished = 0 FROM durable_work.queue_stats WHERE queue = of_queue);
            CONTINUE;
        END IF;
        WHILE together > 0 AND NOT EXISTS (SELECT FROM helper.journal WHERE queue = of_queue)
            AND (SELECT in_flight < together FROM durable_work.limits WHERE queue = of_queue) LOOP
            PERFORM pg_sleep(0.001);
            COMMIT;
        END LOOP;
        PERFORM count(*) FROM generate_series(1, 5000);
        INSERT INTO helper.journal VALUES (of_queue, mine.partition_key, mine.job_id, asked, began, clock_timestamp());
        PERFORM durable_work.complete(mine.job_id, mine.lease_token);
        COMMIT;
    END LOOP;
END
$$;
CREATE FUNCTION helper.most_at_once(queues text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT max(n) FROM (SELECT sum(step) OVER (ORDER BY at, step) AS n FROM (
        SELECT began AS at, 1 AS step FROM helper.journal WHERE queue = ANY (queues)
        UNION ALL SELECT ended, -1 FROM helper.journal WHERE queue = ANY (queues)) e) s
$$;
-- Jobs that were asked for and handed out within a period, above what may start in it; over all periods.
CREATE FUNCTION helper.excess(queues text[], burst int, per_second int) RETURNS numeric LANGUAGE sql AS $$
    WITH j AS MATERIALIZED (SELECT * FROM helper.journal WHERE queue = ANY (queues))
    SELECT max((SELECT count(*) FROM j WHERE j.asked >= f.asked AND j.began <= t.began) - burst
        - per_second * extract(epoch FROM t.began - f.asked))
    FROM j f, j t WHERE t.began > f.asked
$$;
-- The same for the jobs of each key, the highest of all.
CREATE FUNCTION helper.most_of_a_key(of_queue text) RETURNS bigint LANGUAGE sql AS $$
    SELECT max(n) FROM (SELECT sum(step) OVER (PARTITION BY key ORDER BY at, step) AS n FROM (
        SELECT key, began AS at, 1 AS step FROM helper.journal WHERE queue = of_queue
        UNION ALL SELECT key, ended, -1 FROM helper.journal WHERE queue = of_queue) e) s
$$;
CREATE FUNCTION helper.excess_of_a_key(of_queue text, burst int, per_second int) RETURNS numeric LANGUAGE sql AS $$
    WITH j AS MATERIALIZED (SELECT * FROM helper.journal WHERE queue = of_queue)
    SELECT max((SELECT count(*) FROM j WHERE j.key = f.key AND j.asked >= f.asked AND j.began <= t.began) - burst
        - per_second * extract(epoch FROM t.began - f.asked))
    FROM j f JOIN j t USING (key) WHERE t.began > f.asked
$$;
-- So many jobs for each of the keys k1, k2 and so on, one key after the other.
CREATE FUNCTION helper.fill_keys(queue text, keys int, jobs int) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(1, keys) k, LATERAL durable_work.enqueue_many(
        queue, array_fill('{}'::jsonb, ARRAY[jobs]), array_fill('k' || k, ARRAY[jobs])) $$;
CREATE FUNCTION helper.fill(queue text, jobs int) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM durable_work.enqueue_many(queue, array_fill('{}'::jsonb, ARRAY[jobs])) $$;
SQL

my $directory = PostgreSQL::Test::Utils::tempdir;
my $scripts = 0;

# Sessions of pgbench that work, each on the queue that is its turn in the list; returns what they print.
our $together = 0;
sub start_workers {
    my ($clients, $patience, @queues) = @_;
    my @options;
    for my $queue (@queues) {
        my $script = "$directory/work" . ++$scripts . '.sql';
        append_to_file($script, "CALL helper.work('$queue', 'worker ' || :client_id, '$patience', $together);\n");
        push @options, '-f', $script;
    }
    my ($out, $err) = ('', '');
    my $run = IPC::Run::start(
        [ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', 1, @options, $node->connstr('postgres') ],
        '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
    return { run => $run, err => \$err };
}

sub work {
    my $workers = start_workers(@_);
    $workers->{run}->finish;
    is($workers->{run}->result(0), 0, "$_[0] workers on $_[2] come to an end") or diag(${ $workers->{err} });
    return;
}

# --- places ---------------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue(q) FROM unnest('{free,narrow}'::text[]) q;
      SELECT durable_work.set_concurrency_limit('narrow', 5); SELECT helper.fill('free', 500), helper.fill('narrow', 500)});
work(64, '0', 'free');
cmp_ok(sql(q{SELECT helper.most_at_once('{free}')}), '>', 5, 'without a limit more are in flight');
{ local $together = 5; work(64, '1 s', 'narrow'); }
is(sql(q{SELECT helper.most_at_once('{narrow}')}), 5, 'with a limit of five it is five, and all five are used');
is(sql(q{SELECT count(DISTINCT job) || ' ' || count(*) FROM helper.journal WHERE queue = 'narrow'}), '500 500', 'and each job is done once');
is(sql(q{SELECT in_flight FROM durable_work.limits WHERE queue = 'narrow'}), 0, 'nothing is left in flight');

# --- places of each key ------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue(q) FROM unnest('{free_keys,keyed}'::text[]) q;
      SELECT durable_work.create_queue('fair_keyed', fairness => 'key');
      SELECT durable_work.set_concurrency_limit(q, 2, 'key') FROM unnest('{keyed,fair_keyed}'::text[]) q;
      SELECT helper.fill_keys(q, 20, 30) FROM unnest('{free_keys,keyed,fair_keyed}'::text[]) q});
work(64, '0', 'free_keys');
cmp_ok(sql(q{SELECT helper.most_of_a_key('free_keys')}), '>', 2, 'without a limit more of a key are in flight');
for my $queue ('keyed', 'fair_keyed') {
    work(64, '1 s', $queue);
    is(sql("SELECT helper.most_of_a_key('$queue')"), 2, "$queue: with a limit of two it is two of each key, and both are used");
    is(sql("SELECT count(DISTINCT job) || ' ' || count(*) FROM helper.journal WHERE queue = '$queue'"), '600 600', 'and each job is done once');
}
# A limit that comes while they work: leases that are out count.
sql(q{SELECT durable_work.create_queue('late'); SELECT helper.fill_keys('late', 20, 400)});
{
    my $workers = start_workers(64, '1 s', 'late');
    wait_until($node, 'postgres', q{SELECT count(*) > 100 FROM helper.journal WHERE queue = 'late'}) or die 'they do not work';
    sql(q{SELECT durable_work.set_concurrency_limit('late', 1, 'key')});
    my $since = sql(q{SELECT clock_timestamp()});
    $workers->{run}->finish;
    is($workers->{run}->result(0), 0, 'they come to an end') or diag(${ $workers->{err} });
    # What was asked for later must not overlap anything of its key.
    is(sql(qq{SELECT count(*) FROM helper.journal a JOIN helper.journal b ON b.queue = a.queue AND b.key = a.key AND b.job <> a.job
        AND b.began < a.ended AND a.began < b.ended WHERE a.queue = 'late' AND a.asked > '$since'}), 0, 'from the commit of a limit on it holds');
    cmp_ok(sql(qq{SELECT count(*) FROM helper.journal WHERE queue = 'late' AND asked > '$since'}), '>', 100, 'for many of them');
}

# --- a limit of several queues, with workers that sleep and workers that do not -----------------------
sql(q{SELECT durable_work.create_queue(q) FROM unnest('{east,west}'::text[]) q;
      SELECT durable_work.set_concurrency_limit(q, 4, 'group', 'partner') FROM unnest('{east,west}'::text[]) q;
      SELECT helper.fill('east', 300), helper.fill('west', 300)});
{
    my $sleepers = start_workers(32, '1 s', 'east');
    my $pollers = start_workers(32, '0', 'west');
    $_->{run}->finish for $sleepers, $pollers;
    is($_->{run}->result(0), 0, 'workers of two queues come to an end') or diag(${ $_->{err} }) for $sleepers, $pollers;
}
is(sql(q{SELECT helper.most_at_once('{east,west}')}), 4, 'together they have four in flight');
is(sql(q{SELECT count(DISTINCT (queue, job)) FROM helper.journal WHERE queue IN ('east', 'west')}), 600, 'and do all');
cmp_ok(sql(q{SELECT count(*) FROM helper.journal WHERE queue = 'east' AND began < (SELECT max(began) FROM helper.journal WHERE queue = 'west')}),
    '>', 30, 'the queue whose workers sleep has not waited for the other to finish');

# --- tokens ---------------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue(q) FROM unnest('{paced,paced_too,together,together_too}'::text[]) q;
      SELECT helper.fill(q, 150) FROM unnest('{paced,together,together_too}'::text[]) q;
      SELECT durable_work.set_rate_limit('paced', 100, '1 s', burst => 7);
      SELECT durable_work.set_rate_limit(q, 200, '2 s', 7, 'group', 'paced') FROM unnest('{together,together_too}'::text[]) q});
work(64, '0', 'paced');
cmp_ok(sql(q{SELECT helper.excess('{paced}', 7, 100)}), '<=', 0, 'no period sees more starts than the rate allows');
work(64, '1 s', 'together', 'together_too');
cmp_ok(sql(q{SELECT helper.excess('{together,together_too}', 7, 100)}), '<=', 0, 'nor do two queues that share a rate');
sql(q{SELECT helper.fill('paced_too', 300)});
work(64, '0', 'paced_too');
cmp_ok(sql(q{SELECT helper.excess('{paced_too}', 7, 100)}), '>', 0, 'which a queue without a limit does not keep to');

sql(q{SELECT durable_work.create_queue(q) FROM unnest('{paced_keys,unpaced_keys}'::text[]) q;
      SELECT durable_work.set_rate_limit('paced_keys', 20, '1 s', burst => 3, scope => 'key');
      SELECT helper.fill_keys(q, 8, 40) FROM unnest('{paced_keys,unpaced_keys}'::text[]) q});
work(64, '1 s', 'paced_keys');
cmp_ok(sql(q{SELECT helper.excess_of_a_key('paced_keys', 3, 20)}), '<=', 0, 'no period sees more starts of a key than its rate allows');
is(sql(q{SELECT count(DISTINCT job) FROM helper.journal WHERE queue = 'paced_keys'}), 320, 'and each job is done');
work(64, '0', 'unpaced_keys');
cmp_ok(sql(q{SELECT helper.excess_of_a_key('unpaced_keys', 3, 20)}), '>', 0, 'which keys without a limit do not keep to');

# --- a backend is killed, and the server with it -------------------------------------------------------
sql(q{SELECT durable_work.create_queue('killed'); SELECT durable_work.set_concurrency_limit('killed', 3); SELECT helper.fill('killed', 1500)});
sql(q{SELECT durable_work.create_queue('killed_keys'); SELECT durable_work.set_concurrency_limit('killed_keys', 1, 'key');
      SELECT helper.fill_keys('killed_keys', 3, 50); SELECT count(*) FROM durable_work.claim('killed_keys', 'gone', 2)});
{
    my $workers = start_workers(64, '1 s', 'killed');
    wait_until($node, 'postgres', q{SELECT count(*) > 50 FROM helper.journal WHERE queue = 'killed'}) or die 'they do not work';
    my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE query ~ 'CALL helper.work' AND pid <> pg_backend_pid() LIMIT 1});
    kill 'KILL', $pid;
    $workers->{run}->finish;
}
# Claims from the first moment on; what they got stays in their hands.
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is there again');
my @hands = map { new_session($node) } 1 .. 6;
my $claimed = 0;
my $got = sub { $claimed += $_[0]->query(q{SELECT count(*) FROM durable_work.claim('killed', 'hand ' || pg_backend_pid(), 25, lease => '1 h')}) };
for (1 .. 100_000) { last if $claimed >= 3; $got->($_) for @hands; }
$got->($_) for @hands, @hands;
is($claimed, 3, 'the limit is in force before the first job is handed out');
my $keyed = 0;
for (1 .. 100_000) {
    last if $keyed >= 3;
    $keyed += $_->query(q{SELECT count(*) FROM durable_work.claim('killed_keys', 'hand ' || pg_backend_pid(), 25, lease => '1 h')}) for @hands;
}
is(sql(q{SELECT count(DISTINCT partition_key) || ' ' || count(*) FROM durable_work.inbox WHERE queue = 'killed_keys' AND status = 'processing'}), '3 3',
    'and that of its keys, of whose jobs nothing is in flight any more');
is(sql(q{SELECT in_flight || ' ' || max_in_flight FROM durable_work.limits WHERE queue = 'killed'}), '3 3', 'and counts what there is now');
# A holder that is gone without a word keeps its place, as it keeps its lease.
my $victim = sql(q{SELECT worker FROM durable_work.leases WHERE queue = 'killed' LIMIT 1});
$victim =~ s/^hand //;
sql("SELECT pg_terminate_backend($victim)");
ok(wait_until($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $victim"), 'a holder goes');
is(sql(q{SELECT count(*) FROM durable_work.claim('killed', 'another', 25)}), 0, 'its place is taken until the lease ends');
$_->quit for @hands;
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'killed';
      DELETE FROM helper.journal WHERE queue = 'killed'});
work(64, '1 s', 'killed');
is(sql(q{SELECT helper.most_at_once('{killed}')}), 3, 'the rest is done three at a time');

# --- leases that run out ---------------------------------------------------------------------------------
# All places of a queue, of its keys and of a group are taken by sessions that are terminated, one of them with the claim's
# transaction open. The others' leases are then made short: nothing but their end gives the places back.
sql(q{SELECT durable_work.create_queue(q, max_attempts => 1000, backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{left,left_keys,left_east,left_west}'::text[]) q;
      SELECT durable_work.set_concurrency_limit('left', 3), durable_work.set_concurrency_limit('left_keys', 1, 'key');
      SELECT durable_work.set_concurrency_limit(q, 3, 'group', 'left') FROM unnest('{left_east,left_west}'::text[]) q;
      SELECT helper.fill_keys(q, 3, 10) FROM unnest('{left,left_keys,left_east,left_west}'::text[]) q});
for my $round (1 .. 3) {
    for my $queues ('{left}', '{left_keys}', '{left_east,left_west}') {
        my @holders = map { new_session($node) } 1 .. 3;
        $holders[0]->query('BEGIN');
        my $places = 0;
        for my $holder (@holders) {
            my $name = 'left ' . $holder->pid;
            for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default) {
                my $got = $holder->query("SELECT count(*) FROM durable_work.claim('$queues'::text[], '$name', 1, wait => '20 ms', lease => '1 h')");
                $places += $got;
                last if $got;
            }
        }
        is($places, 3, "$round: $queues has three places");
        is(sql("SELECT count(*) FROM durable_work.claim('$queues'::text[], 'another', 25)"), 0, 'and then none');
        my $pids = '{' . join(',', map { $_->pid } @holders) . '}';
        sql("SELECT pg_terminate_backend(pid) FROM unnest('$pids'::int[]) pid");
        ok(wait_until($node, 'postgres', "SELECT count(*) = 2 FROM durable_work.leases WHERE queue = ANY ('$queues')"), 'those that are gone hold two, for one claim is rolled back');
        is(sql("SELECT count(*) FROM durable_work.claim('$queues'::text[], 'another', 25, wait => '5 s', lease => '1 h')"), 1, 'so another one gets one');
        sql("SELECT durable_work.heartbeat('left ' || pid, '1 ms') FROM unnest('$pids'::int[]) pid; SELECT durable_work.heartbeat('another', '1 ms')");
        ok(wait_until($node, 'postgres', "SELECT count(*) = 0 FROM durable_work.leases WHERE queue = ANY ('$queues')"), 'until their leases end');
        $_->quit for @holders;
    }
}
is(sql(q{SELECT string_agg(queue || ' ' || in_flight, ', ' ORDER BY queue) FROM durable_work.limits WHERE queue LIKE 'left%' AND scope <> 'key'}), 'left 0, left_east 0, left_west 0', 'nothing is in flight');
is(sql(q{SELECT sum(expired) FROM durable_work.queue_stats WHERE queue LIKE 'left%'}), 27, 'nine leases of each ran out');
{ local $together = 3; work(64, '1 s', 'left'); }
is(sql(q{SELECT helper.most_at_once('{left}')}), 3, 'all places of the queue can be used, and no more');
work(64, '1 s', 'left_keys');
is(sql(q{SELECT helper.most_of_a_key('left_keys')}), 1, 'those of its keys');
work(64, '1 s', 'left_east', 'left_west');
cmp_ok(sql(q{SELECT helper.most_at_once('{left_east,left_west}')}), '<=', 3, 'and those of the group');
is(sql(q{SELECT count(DISTINCT (queue, job)) FROM helper.journal WHERE queue LIKE 'left%'}), 120, 'and all jobs are done');

# --- a bucket is empty after a start -------------------------------------------------------------------
# Whoever reads the limits of the queue, of keys and of groups at the start, does so before the first job is handed out.
sql(q{SELECT durable_work.create_queue(q) FROM unnest('{slow,slow_keys,slow_east,slow_west}'::text[]) q;
      SELECT durable_work.set_rate_limit('slow', 20, '1 s'), durable_work.set_rate_limit('slow_keys', 20, '1 s', scope => 'key');
      SELECT durable_work.set_rate_limit(q, 20, '1 s', scope => 'group', limit_group => 'slow') FROM unnest('{slow_east,slow_west}'::text[]) q;
      SELECT helper.fill('slow', 100), helper.fill_keys('slow_keys', 5, 20), helper.fill('slow_east', 50), helper.fill('slow_west', 50)});
ok(wait_until($node, 'postgres', q{SELECT count(*) = 3 AND bool_and(available = 20) FROM durable_work.limits WHERE queue LIKE 'slow%' AND scope <> 'key'}), 'tokens come');
ok(wait_until($node, 'postgres', q{SELECT available = 20 FROM durable_work.key_status('slow_keys', 'k3')}), 'of a key, too');
sql(q{SELECT durable_work.set_rate_limit('slow', 1, '1 d'), durable_work.set_rate_limit('slow_keys', 1, '1 d', scope => 'key');
      SELECT durable_work.set_rate_limit(q, 1, '1 d', scope => 'group', limit_group => 'slow') FROM unnest('{slow_east,slow_west}'::text[]) q});
is(sql(q{SELECT sum(available) FROM durable_work.limits WHERE queue LIKE 'slow%'}), 0, 'other numbers are another bucket');
$node->stop('immediate');
$node->start;
my $rated = q{SELECT coalesce(sum(jobs), 0) FROM durable_work.explain_waiting('%s') WHERE reason = 'rate limited'};
my %slow = (slow => 100, slow_keys => 100, slow_east => 50, slow_west => 50);
for my $queue (sort keys %slow) {
    ok(wait_until($node, 'postgres', sprintf($rated, $queue), $slow{$queue}), "after a start the jobs of $queue wait for the first token");
    is(sql("SELECT count(*) FROM durable_work.claim('$queue', 'w', 25)"), 0, 'and are not handed out');
}
is(sql(q{SELECT state, available FROM durable_work.key_status('slow_keys', 'k3')}), 'limited|0', 'a key says so');
# It was for tokens only that they waited.
sql(q{SELECT durable_work.set_rate_limit('slow_keys', 1000, '1 s', scope => 'key');
      SELECT durable_work.set_rate_limit(q, 1000, '1 s', scope => 'group', limit_group => 'slow') FROM unnest('{slow_east,slow_west}'::text[]) q});
is(sql("SELECT count(*) FROM helper.claim('$_', $slow{$_})"), $slow{$_}, "$_: with other numbers they are handed out") for qw(slow_keys slow_east slow_west);

# --- two-phase commit ----------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('prepared', lease => '1 h'); SELECT durable_work.set_concurrency_limit('prepared', 1); SELECT helper.fill('prepared', 9)});
my $worker = new_session($node);
for my $end ('COMMIT', 'ROLLBACK') {
    my ($job, $token) = split /\|/, $worker->query(q{SELECT job_id, lease_token FROM durable_work.claim('prepared', 'w', 1)});
    $worker->query("BEGIN; SELECT durable_work.complete($job, $token); PREPARE TRANSACTION 'held'");
    is($worker->query(q{SELECT count(*) FROM durable_work.claim('prepared', 'w')}), 0, 'a completion that is prepared holds its place');
    $worker->send(q{SELECT count(*) FROM durable_work.claim('prepared', 'sleeper', 1, wait => '5 s', lease => '1 h')});
    my $pid = $worker->pid;
    ok(wait_until($node, 'postgres', "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid"), 'somebody sleeps for it');
    sql("$end PREPARED 'held'");
    if ($end eq 'ROLLBACK') {
        # The lease is there again; its end is what lets the next one start.
        ok(wait_until($node, 'postgres', "SELECT durable_work.try_complete($job, $token) = 'completed'"), 'rolled back, the lease is the worker\'s again');
    }
    is($worker->finish_sent, 'ok', 'the wait ends');
    is($worker->output, '1', "after $end PREPARED the next job is handed out");
    sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'prepared'});
}
# After a restart nobody holds a lease, and a completion that is prepared is nobody's work any more.
my ($job, $token) = split /\|/, $worker->query(q{SELECT job_id, lease_token FROM durable_work.claim('prepared', 'w', 1)});
$worker->query("BEGIN; SELECT durable_work.complete($job, $token); PREPARE TRANSACTION 'held'");
$worker->quit;
$node->restart;
ok(wait_until($node, 'postgres', q{SELECT count(*) = 1 FROM durable_work.claim('prepared', 'w', 25)}), 'after a restart the place is free');
sql(q{COMMIT PREPARED 'held'});
is(sql(q{SELECT in_flight FROM durable_work.limits WHERE queue = 'prepared'}), 1, 'and one is in flight');

# --- dump and restore ----------------------------------------------------------------------------------
my $limits = q{SELECT string_agg(concat_ws(' ', queue, kind, scope, limit_group, max_in_flight, jobs, per_interval, burst), ', ' ORDER BY queue, kind, scope) FROM durable_work.limits};
$node->command_ok([ 'pg_dump', '--format=custom', '--file', "$directory/dump", 'postgres' ], 'a dump');
sql('CREATE DATABASE copy');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', 'copy', "$directory/dump" ], 'and its restore');
is($node->safe_psql('copy', $limits), sql($limits), 'bring the limits');
ok(wait_until($node, 'copy', q{SELECT unfinished IS NOT NULL FROM durable_work.queue_stats WHERE queue = 'prepared'}), 'the copy is read');
ok(wait_until($node, 'copy', q{SELECT count(*) = 1 FROM durable_work.claim('prepared', 'w', 25)}), 'one job is handed out');
is($node->safe_psql('copy', q{SELECT count(*) FROM durable_work.claim('prepared', 'w', 25)}), 0, 'and no more');
is($node->safe_psql('copy', q{SELECT count(*) FROM durable_work.claim('slow', 'w', 25)}), 0, 'a bucket begins empty there too');

done_testing();
