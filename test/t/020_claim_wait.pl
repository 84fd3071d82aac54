# claim with `wait`: it is woken by work, not by a clock, and whatever ends it leaves no waiter behind.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('claim_wait', conf => [ "durable_work.max_wait = '2 h'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{SELECT durable_work.create_queue(q, backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{a,b,c}'::text[]) q});

sub waiting {
    my ($session, $what) = @_;
    my $pid = $session->pid;
    return ok(wait_until($node, 'postgres', <<"SQL"), $what // 'the session waits');
SELECT coalesce((SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid), false)
SQL
}

# Waits for as long as is allowed; says whether it was woken well before that.
sub waiting_claim {
    my ($queues) = @_;
    return qq{SELECT payload->>'n' || CASE WHEN clock_timestamp() - statement_timestamp() < '4500 ms' THEN ' woken' ELSE ' late' END
FROM durable_work.claim($queues, 'w', 1, wait => '5 s')};
}
my $one = new_session($node);
my $two = new_session($node);

# --- what wakes -----------------------------------------------------------------------------------
$one->send(waiting_claim(q{'a'}));
waiting($one, 'a claim that finds nothing sleeps');
sql(q{SELECT durable_work.enqueue('a', '{"n": 1}')});
is($one->finish_sent, 'ok', 'a commit ends the wait');
is($one->output, '1 woken', 'and the claim has the job');

sql(q{SELECT durable_work.enqueue('a', '{"n": 2}')});
is($one->query(waiting_claim(q{'a'})), '2 woken', 'with work there it does not wait');

$one->send(waiting_claim(q{'a'}));
waiting($one);
sql(q{SELECT durable_work.enqueue('a', '{"n": 3}', delay => '300 ms')});
is($one->finish_sent, 'ok', 'a job that comes due ends the wait');
is($one->output, '3 woken', 'and is there');

$one->send(waiting_claim(q{'{a,b}'::text[]}));
waiting($one);
sql(q{SELECT durable_work.enqueue('b', '{"n": 4}')});
is($one->finish_sent, 'ok', 'one of several queues is enough');
is($one->output, '4 woken', 'and has the job');

is($one->query(q{SELECT count(*) FROM durable_work.claim('a', 'w', wait => '50 ms')}), '0', 'when the time is over there are no rows');

# Woken for a job that somebody else has taken meanwhile, it waits on.
$one->send(waiting_claim(q{'a'}));
waiting($one);
signal_stopped($one->pid);
sql(q{SELECT durable_work.enqueue('a', '{"n": "taken"}')});
is(sql(q{SELECT payload->>'n' FROM durable_work.claim('a', 'quicker')}), 'taken', 'the job goes to another one');
kill 'CONT', $one->pid;
waiting($one, 'who was woken in vain');
sql(q{SELECT durable_work.enqueue('a', '{"n": 5}')});
is($one->finish_sent, 'ok', 'waits on');
like($one->output, qr/^5 /, 'and gets the next job');

# --- pause, drop ----------------------------------------------------------------------------------
sql(q{SELECT durable_work.pause_queue('a'); SELECT durable_work.enqueue('a', '{"n": 6}')});
$one->send(waiting_claim(q{'a'}));
waiting($one, 'a paused queue has no work');
sql(q{SELECT durable_work.resume_queue('a')});
is($one->finish_sent, 'ok', 'resuming it ends the wait');
is($one->output, '6 woken', 'with the job');

sql(q{SELECT durable_work.create_queue('dropped')});
$one->send(waiting_claim(q{'dropped'}));
waiting($one);
sql(q{SELECT durable_work.drop_queue('dropped')});
is($one->finish_sent, 'DW002', 'a queue that is dropped meanwhile is an error');
sql(q{SELECT durable_work.create_queue('dropped')});
$one->send(waiting_claim(q{'{a,dropped}'::text[]}));
waiting($one);
sql(q{SELECT durable_work.drop_queue('dropped')});
is($one->finish_sent, 'DW002', 'one of several too');
sql(q{SELECT durable_work.create_queue('dropped')});
$one->send(waiting_claim(q{'dropped'}));
waiting($one);
sql(q{BEGIN; SELECT durable_work.drop_queue('dropped'); SELECT durable_work.create_queue('dropped'); COMMIT});
waiting($one, 'one that is made again in the same transaction is waited for');
sql(q{SELECT durable_work.enqueue('dropped', '{"n": "new"}')});
is($one->finish_sent, 'ok', 'and');
is($one->output, 'new woken', 'served');

# --- where it is refused --------------------------------------------------------------------------
for my $level ('REPEATABLE READ', 'SERIALIZABLE') {
    is($one->try("BEGIN ISOLATION LEVEL $level; SELECT durable_work.claim('a', 'w', wait => '1 s')"), '25001', "refused under $level");
    like($one->errors, qr/HINT.*wait_for_work/, 'with a hint');
    $one->query('ROLLBACK');
    is($one->query("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM durable_work.claim('a', 'w', wait => '0'); COMMIT"), '0', 'without waiting it may be called');
}
$one->query('BEGIN');
is($one->query(q{SELECT count(*) FROM durable_work.claim('a', 'w', wait => '10 ms')}), '0', 'READ COMMITTED may wait in a block');
$one->query('COMMIT');

# --- a woken waiter that goes away passes the wake on ---------------------------------------------
# The housekeeper is stopped, so that only the one who leaves can wake the next. The first waiter is
# stopped when the job comes: it is woken, but cannot act on it before it is ended.
$two->query(<<'SQL');
CREATE FUNCTION caught() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM * FROM durable_work.claim('c', 'w', 1, wait => '5 s');
    RETURN 'claimed';
EXCEPTION WHEN query_canceled THEN
    RETURN 'caught';
END $$
SQL
my $next = q{CALL durable_work.wait_for_work('{c}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('c', 'w', 1)};
my %ends = (
    'cancel' => [ 'SELECT durable_work.claim($$c$$, $$w$$, 1, wait => $$5 s$$)', 'pg_cancel_backend', '57014' ],
    'termination' => [ 'SELECT durable_work.claim($$c$$, $$w$$, 1, wait => $$5 s$$)', 'pg_terminate_backend', '57P01' ],
    'cancel that is caught' => [ 'SELECT caught()', 'pg_cancel_backend', 'ok' ],
);
for my $end (sort keys %ends) {
    my ($statement, $function, $state) = @{ $ends{$end} };
    my $first = new_session($node);
    my $second = new_session($node);
    $first->send($statement);
    waiting($first);
    $second->send($next);
    waiting($second);
    my $housekeeper = housekeeper($node, 'postgres');
    signal_stopped($housekeeper);
    signal_stopped($first->pid);
    sql(qq(SELECT durable_work.enqueue('c', '{"n": "$end"}')));
    sql("SELECT $function(" . $first->pid . ')');
    kill 'CONT', $first->pid;
    is($first->finish_sent, $state, "$end: the woken waiter ends");
    is($first->output, 'caught', "$end: its session goes on") if $state eq 'ok';
    is($second->finish_sent, 'ok', "$end: the next waiter is woken instead");
    is($second->output, $end, "$end: and gets the job");
    kill 'CONT', $housekeeper;
    $_->quit for $first, $second;
}

# One that sleeps and was not woken leaves the list: the next job's wake is not spent on it.
for my $end ('statement_timeout', 'pg_cancel_backend', 'pg_terminate_backend') {
    my $first = new_session($node);
    my $second = new_session($node);
    $first->query(q{SET statement_timeout = '300 ms'}) if $end eq 'statement_timeout';
    $first->send(q{SELECT durable_work.claim('c', 'w', 1, wait => '5 s')});
    waiting($first) unless $end eq 'statement_timeout';
    sql("SELECT $end(" . $first->pid . ')') unless $end eq 'statement_timeout';
    is($first->finish_sent, $end eq 'pg_terminate_backend' ? '57P01' : '57014', "$end: ends the sleep");
    $second->send($next);
    waiting($second);
    my $housekeeper = housekeeper($node, 'postgres');
    signal_stopped($housekeeper);
    sql(qq(SELECT durable_work.enqueue('c', '{"n": "$end"}')));
    is($second->finish_sent, 'ok', "$end: the next waiter is woken");
    is($second->output, $end, "$end: by the first job");
    kill 'CONT', $housekeeper;
    $_->quit for $first, $second;
}

$_->quit for $one, $two;
$node->stop;
done_testing();
