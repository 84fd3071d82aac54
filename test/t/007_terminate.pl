# Backends are terminated, cancelled and timed out in the middle of claim, complete and enqueue:
# leases come back, decided jobs are as before, nothing is lost.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('terminate');
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(<<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 5, backoff => 'fixed', backoff_base => '0', jitter => 0);
SQL

my $number = 0;
sub new_job {
    my $n = 'job ' . ++$number;
    sql(qq(SELECT FROM durable_work.enqueue('q', '{"n": "$n"}')));
    return $n;
}
# Handed out again, as which attempt; completed then, so that each case starts with an empty queue.
sub comes_back {
    my ($n, $attempt, $what) = @_;
    is(sql('TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim($$q$$, 1) RETURNING n || $$ $$ || attempt'),
        "$n $attempt", $what);
    is(sql('SELECT durable_work.complete(job_id, token) FROM helper.held'), 't', '... and is completed');
    return;
}
sub claim_into_held {
    my ($session) = @_;
    return $session->query('INSERT INTO helper.held SELECT * FROM helper.claim($$q$$, 1) RETURNING n');
}

my %ends = (
    'pg_terminate_backend' => sub { sql('SELECT pg_terminate_backend(' . $_[0]->pid . ')'); },
    'kill -TERM' => sub { kill 'TERM', $_[0]->pid; },
    'the client going away' => sub { $_[0]->{run}->kill_kill; },
);

sub gone {
    my ($session) = @_;
    return wait_until($node, 'postgres', 'SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $session->pid . ')');
}

for my $end (sort keys %ends) {
    # --- idle in a transaction that claimed ---
    my $n = new_job();
    my $session = new_session($node);
    $session->query('BEGIN');
    $session->query(q{SELECT * FROM durable_work.claim('q', 'w')});
    is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'other')}), '0', "$end: claimed in an open transaction");
    $ends{$end}->($session);
    gone($session);
    comes_back($n, 2, "$end: the lease comes back, the attempt is charged");

    # --- a claim that was its own transaction stays leased ---
    $n = new_job();
    $session = new_session($node);
    $session->query('INSERT INTO helper.held SELECT job_id, lease_token, payload->>$$n$$, attempt FROM durable_work.claim($$q$$, $$w$$)');
    $ends{$end}->($session);
    gone($session);
    is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'other')}), '0', "$end: a committed claim outlives its connection");
    is(sql("SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '$n'"), 't', "$end: and can be completed by another one");

    # --- idle in a transaction that completed ---
    $n = new_job();
    sql('TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim($$q$$, 1)');
    for my $call ('complete(job_id, token)', 'fail(job_id, token)', 'release(job_id, token)', q{reject(job_id, token, 'no')},
        'defer(job_id, token, now() + interval $$1 d$$)', 'cancel(job_id)') {
        $session = new_session($node);
        $session->query('BEGIN');
        $session->query("SELECT durable_work.$call FROM helper.held");
        is(sql('SELECT durable_work.try_complete(job_id, token) FROM helper.held'), 'in_doubt', "$end: $call is undecided");
        $ends{$end}->($session);
        gone($session);
        is(sql('SELECT count(*) FROM durable_work.leases'), '1', "$end: the lease is as before after $call");
    }
    is(sql('SELECT durable_work.complete(job_id, token) FROM helper.held'), 't', "$end: and its token still counts");

    # --- idle in a transaction that enqueued ---
    $session = new_session($node);
    $session->query('BEGIN');
    $session->query(q{SELECT durable_work.enqueue('q', '{"n": "never"}', idempotency_key => 'key ') FROM generate_series(1, 1)});
    $ends{$end}->($session);
    gone($session);
    is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'other')}), '0', "$end: what was not committed is no job");
    is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE payload->>'n' = 'never'}), '0', "$end: also for a reader");
}

# --- in the middle of a call ----------------------------------------------------------------------
# A lock on the log makes the call stand still where it writes.
my $blocker = new_session($node);
my %interrupts = (
    'statement_timeout' => [ '57014', sub { } ],
    'pg_cancel_backend' => [ '57014', sub { sql('SELECT pg_cancel_backend(' . $_[0]->pid . ')'); } ],
    'pg_terminate_backend' => [ '57P01', sub { sql('SELECT pg_terminate_backend(' . $_[0]->pid . ')'); } ],
    'lock_timeout' => [ '55P03', sub { } ],
);
# Until it waits for a lock, or has ended without.
sub blocked {
    my ($session) = @_;
    my $query = 'SELECT coalesce((SELECT wait_event_type = $$Lock$$ FROM pg_stat_activity WHERE pid = ' . $session->pid . '), false)';
    until ($session->done) {
        return 1 if sql($query) eq 't';
        select undef, undef, undef, 0.01;
    }
    return 0;
}
for my $interrupt (sort keys %interrupts) {
    my ($state, $act) = @{ $interrupts{$interrupt} };
    my $limit = $interrupt =~ /timeout/ ? "SET $interrupt = '200 ms'" : 'SELECT 1';

    for my $call ('complete(job_id, token)', 'fail(job_id, token)', q{reject(job_id, token, 'no')}, 'release(job_id, token)',
        'complete_many(array[job_id], array[token])', 'fail_many(array[job_id], array[token])', 'cancel(job_id)') {
        my $n = new_job();
        sql('TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim($$q$$, 1)');
        $blocker->query('BEGIN');
        $blocker->query('LOCK TABLE durable_work.outcome_0, durable_work.outcome_1, durable_work.outcome_2, durable_work.outcome_3 IN EXCLUSIVE MODE');
        my $session = new_session($node);
        $session->query($limit);
        $session->send("SELECT durable_work.$call FROM helper.held");
        blocked($session) unless $interrupt =~ /timeout/;
        $act->($session);
        my $ended = $session->finish_sent;
        $blocker->query('COMMIT');
        if ($ended eq 'ok') {
            # It needs no row in the log, so there was nothing to wait for.
            comes_back($n, 1, "$interrupt: $call does not write") if $call =~ /^release/;
            fail("$interrupt: $call did not wait for the log") unless $call =~ /^release/;
        } else {
            is($ended, $state, "$interrupt in the middle of $call");
            gone($session) if $interrupt eq 'pg_terminate_backend';
            is(sql('SELECT durable_work.complete(job_id, token) FROM helper.held'), 't', "$interrupt: after $call the lease is as before");
        }
        $session->quit;
    }

    my $session = new_session($node);
    $session->query($limit);
    $blocker->query('BEGIN');
    $blocker->query('LOCK TABLE durable_work.job_0, durable_work.job_1, durable_work.job_2, durable_work.job_3 IN EXCLUSIVE MODE');
    $session->send(q{SELECT durable_work.enqueue('q', '{"n": "interrupted"}', idempotency_key => 'interrupted')});
    blocked($session) unless $interrupt =~ /timeout/;
    $act->($session);
    is($session->finish_sent, $state, "$interrupt in the middle of enqueue");
    $blocker->query('COMMIT');
    gone($session) if $interrupt eq 'pg_terminate_backend';
    $session->quit;
    is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', "$interrupt: no job of it");

    # A duplicate that waits for the winner.
    $session = new_session($node);
    $session->query($limit);
    $blocker->query('BEGIN');
    $blocker->query(qq(SELECT durable_work.enqueue('q', '{"n": "winner"}', idempotency_key => 'shared $interrupt')));
    $session->send(qq(SELECT durable_work.enqueue('q', '{"n": "winner"}', idempotency_key => 'shared $interrupt')));
    blocked($session) unless $interrupt =~ /timeout/;
    $act->($session);
    is($session->finish_sent, $state, "$interrupt of a duplicate that waits for the winner");
    $blocker->query('COMMIT');
    $session->quit;
    comes_back('winner', 1, "$interrupt: the winner's job is there");

    # The statement that claims fails after the claim.
    my $n = new_job();
    $session = new_session($node);
    $session->query($limit =~ /lock/ ? 'SELECT 1' : $limit);
    if ($interrupt ne 'lock_timeout') {
        $session->send(q{SELECT c.*, pg_sleep(1000) FROM durable_work.claim('q', 'w') c});
        wait_until($node, 'postgres', 'SELECT coalesce((SELECT wait_event = $$PgSleep$$ FROM pg_stat_activity WHERE pid = ' . $session->pid . '), false)')
          unless $interrupt eq 'statement_timeout';
        $act->($session);
        is($session->finish_sent, $state, "$interrupt in the statement that claims");
        gone($session) if $interrupt eq 'pg_terminate_backend';
    }
    $session->quit;
    is(sql('TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim($$q$$, 1) RETURNING n'), $n, "$interrupt: the job is handed out again");
    is(sql('SELECT durable_work.complete(job_id, token) FROM helper.held'), 't', '... and is completed');
}
$blocker->quit;

# --- a lease that ran out and was not yet taken back ----------------------------------------------
my $n = new_job();
my $housekeeper = housekeeper($node, 'postgres');
signal_stopped($housekeeper);
sql(q{TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim('q', 1, lease => '100 ms')});
ok(wait_until($node, 'postgres', q{SELECT lease_expires_at < clock_timestamp() FROM durable_work.leases}), 'the lease ran out while nobody swept');
is(sql('SELECT durable_work.complete(job_id, token) FROM helper.held'), 't', 'the token is still the current one');
kill 'CONT', $housekeeper;
is(sql(q{SELECT count(*) FROM durable_work.leases}), '0', 'the lease is gone');
is(sql(qq(SELECT status || ' ' || attempts FROM durable_work.inbox WHERE payload->>'n' = '$n')), 'completed 1', 'completed, with one attempt');

# After the sweep it is refused, before anybody has claimed it again.
$n = new_job();
sql(q{SELECT durable_work.alter_queue('q', backoff_base => '1 h', backoff_cap => '1 h')});
sql(q{TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim('q', 1, lease => '100 ms')});
ok(wait_until($node, 'postgres', qq(SELECT status = 'pending' FROM durable_work.inbox WHERE payload->>'n' = '$n')), 'another lease is swept');
is(state_of($node, 'postgres', 'SELECT durable_work.complete(job_id, token) FROM helper.held'), 'DW001', 'its token is refused');
is(sql('SELECT durable_work.try_complete(job_id, token) FROM helper.held'), 'stale', 'and called stale');
is(sql('SELECT n || attempt FROM helper.claim($$q$$, 1)'), "${n}2", 'after expiry a job is pending again at once, the attempt charged');

# --- every job of this file was accounted for -----------------------------------------------------
is(sql(q{SELECT string_agg(status || ' ' || count, ', ') FROM (SELECT status, count(*) FROM durable_work.inbox GROUP BY status) s}) =~ /^(completed \d+, processing 1|processing 1, completed \d+)$/ ? 1 : 0,
    1, 'all jobs but the last are completed');

$node->stop;
done_testing();
