# wait_for_work: holds no snapshot, wakes when there is something to do, and no wake-up is lost
# whatever becomes of the one who was woken.
# Timeouts of the waits are far longer than the tests' own limit: a wake-up that does not come fails.
use strict;
use warnings FATAL => 'all';

use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('wait', conf => [ "durable_work.max_wait = '2 h'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{SELECT durable_work.create_queue(q, backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{a,b,c,d}'::text[]) q});

sub waiting {
    my ($session, $what) = @_;
    my $pid = $session->pid;
    return ok(wait_until($node, 'postgres', <<"SQL"), $what // 'the session waits');
SELECT coalesce((SELECT state = 'active' AND wait_event_type = 'Extension' AND query LIKE '%wait_for_work%'
                 FROM pg_stat_activity WHERE pid = $pid), false)
SQL
}

my $one = new_session($node);
my $two = new_session($node);
my $wait = q{CALL durable_work.wait_for_work('{a}', '1 h')};

# --- what a wait holds ----------------------------------------------------------------------------
$one->send($wait);
waiting($one, 'a waiter shows in pg_stat_activity');
is(sql('SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = ' . $one->pid), 't', 'it holds no snapshot and no transaction id');
is(sql('SELECT count(*) FROM pg_locks WHERE locktype = $$relation$$ AND pid = ' . $one->pid), '0', 'and no lock on a table');
ok(!$one->done, 'it waits while there is nothing');

# --- what wakes -----------------------------------------------------------------------------------
$two->query('BEGIN');
$two->query(q{SELECT durable_work.enqueue('a', '{"n": 1}')});
ok(!$one->done, 'an open transaction wakes nobody');
$two->query('COMMIT');
is($one->finish_sent, 'ok', 'a commit wakes');
is($one->query(q{SELECT payload->>'n' FROM durable_work.claim('a', 'w')}), '1', 'and the job is there');

sql(q{SELECT durable_work.enqueue('a', '{"n": 2}')});
is($one->try($wait), 'ok', 'with work there the wait ends at once');
is($one->query(q{SELECT payload->>'n' FROM durable_work.claim('a', 'w')}), '2', 'the job is still there');

sql(q{SELECT durable_work.enqueue('a', '{"n": 3}', delay => '700 ms')});
is($one->try($wait), 'ok', 'a delay that ends wakes');
is($one->query(q{SELECT payload->>'n' FROM durable_work.claim('a', 'w')}), '3', 'and the job is due');

$one->send($wait);
waiting($one);
sql(q{SELECT durable_work.enqueue('a', '{"n": 4}', delay => '500 ms')});
is($one->finish_sent, 'ok', 'a delayed job that comes while waiting wakes when it is due');
is($one->query(q{INSERT INTO helper.held SELECT job_id, lease_token, payload->>'n', attempt FROM durable_work.claim('a', 'w') RETURNING n}), '4', 'and is due');

$one->send($wait);
waiting($one);
sql(q{SELECT durable_work.fail(job_id, token, retry_in => '0') FROM helper.held WHERE n = '4'});
is($one->finish_sent, 'ok', 'a failed attempt that is to be repeated wakes');
is($one->query(q{SELECT payload->>'n' || ' ' || attempt FROM durable_work.claim('a', 'w', lease => '1 s')}), '4 2', 'and is handed out');
is($one->try($wait), 'ok', 'a lease that runs out wakes');
is($one->query(q{SELECT payload->>'n' || ' ' || attempt FROM durable_work.claim('a', 'w')}), '4 3', 'and is handed out again');

$one->send($wait);
waiting($one);
$two->query('BEGIN');
$two->query(q{SELECT durable_work.enqueue('b', '{"n": "other"}')});
$two->query(q{SAVEPOINT s});
$two->query(q{SELECT durable_work.enqueue('a', '{"n": "undone"}')});
$two->query(q{ROLLBACK TO s});
$two->query('COMMIT');
ok(!$one->done, 'work in another queue, or rolled back, wakes nobody');
sql(q{SELECT durable_work.pause_queue('a'); SELECT durable_work.enqueue('a', '{"n": 5}')});
waiting($one, 'a paused queue wakes nobody');
sql(q{SELECT durable_work.resume_queue('a')});
is($one->finish_sent, 'ok', 'resuming the queue wakes');
is($one->query(q{SELECT payload->>'n' FROM durable_work.claim('a', 'w')}), '5', 'and gives the job');

is($one->try(q{CALL durable_work.wait_for_work('{a,c,b}', '1 h')}), 'ok', 'one of several queues is enough');
is($one->query(q{SELECT payload->>'n' FROM durable_work.claim('{a,b,c}'::text[], 'w')}), 'other', 'and has the job');
is($one->try(q{CALL durable_work.wait_for_work('{a}', '50 ms')}), 'ok', 'a wait without result is no error');
is($one->try(q{CALL durable_work.wait_for_work('{a}', '0')}), 'ok', 'nor is one that does not wait');

# --- wait and claim in one pipeline ---------------------------------------------------------------
my ($out, $err) = ('', '');
my $client = IPC::Run::start(
    [ '/usr/bin/python3', "$FindBin::RealBin/../clients/pipelined_wait.py", '--dsn', $node->connstr('postgres'), 'a' ],
    '>', \$out, '2>', \$err);
ok(wait_until($node, 'postgres', <<'SQL'), 'with the claim behind it in the pipeline a wait holds no snapshot either');
SELECT count(*) = 1 FROM pg_stat_activity
WHERE state = 'active' AND wait_event_type = 'Extension' AND query LIKE '%wait_for_work%' AND backend_xmin IS NULL
SQL
sql(q{SELECT durable_work.enqueue('a', '{"n": 6}')});
$client->finish;
is($out . $err, "6 completed nothing left\n", 'the job comes with the wait\'s own reply, and no row when there is none');

# --- where it is refused --------------------------------------------------------------------------
is($one->try('BEGIN; CALL durable_work.wait_for_work(\'{a}\', \'1 h\')'), '25001', 'refused in a transaction block');
like($one->errors, qr/HINT/, 'with a hint');
$one->query('ROLLBACK');
sql(q{CREATE FUNCTION waits() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL durable_work.wait_for_work('{a}', '1 h'); END $$});
is($one->try('SELECT waits()'), '25001', 'refused in a function');
is($one->try('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; CALL durable_work.wait_for_work(\'{a}\', \'1 h\')'), '25001', 'refused under a snapshot');
$one->query('ROLLBACK');
is($one->try(q{CALL durable_work.wait_for_work('{a}', '3 h')}), '22023', 'longer than max_wait');
is($one->try(q{CALL durable_work.wait_for_work('{a}', '-1 s')}), '22023', 'negative');
is($one->try(q{CALL durable_work.wait_for_work('{nowhere}', '1 s')}), 'DW002', 'no such queue');
is($one->try(q{CALL durable_work.wait_for_work('{}', '1 s')}), '22023', 'no queue');
is($one->try(q{CALL durable_work.wait_for_work(array_fill('a'::text, '{65}'), '1 s')}), '22023', 'too many queues');

# --- many waiters ---------------------------------------------------------------------------------
my @waiters = map { new_session($node) } 1 .. 8;
my $take = q{CALL durable_work.wait_for_work('{c}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('c', 'w', 1)};
$_->send($take) for @waiters;
waiting($_) for @waiters;
$two->query(qq(SELECT durable_work.enqueue('c', '{"n": $_}'))) for 1 .. 4;
$two->query(q{SELECT count(*) FROM durable_work.enqueue_many('c', ARRAY['{"n": 5}', '{"n": 6}', '{"n": 7}', '{"n": 8}']::jsonb[])});
my %got;
my @left = @waiters;
while (@left) {
    my $waiter = shift @left;
    if (!$waiter->done) {
        push @left, $waiter;
        next;
    }
    is($waiter->finish_sent, 'ok', 'a waiter was woken');
    if ($waiter->output ne '') {
        $got{ $waiter->output }++;
    } else {
        # Woken for a job that another one had taken meanwhile: it waits again.
        push @left, $waiter->send($take);
    }
}
is(join(' ', sort keys %got), '1 2 3 4 5 6 7 8', 'eight jobs and eight waiters: each got one');

# A job less than there are waiters: one stays.
$_->send($take) for @waiters[ 0, 1 ];
waiting($_) for @waiters[ 0, 1 ];
$two->query(q{SELECT durable_work.enqueue('c', '{"n": "single"}')});
my @order = @waiters[ 0, 1 ];
my $single;
until (defined $single) {
    my $waiter = shift @order;
    if ($waiter->done) {
        is($waiter->finish_sent, 'ok', 'woken');
        if ($waiter->output eq 'single') { $single = $waiter; last; }
        $waiter->send($take);
    }
    push @order, $waiter;
}
my ($other) = grep { $_ != $single } @waiters[ 0, 1 ];
waiting($other, 'the other one waits on');
$two->query(q{SELECT durable_work.enqueue('c', '{"n": "next"}')});
until ($other->output =~ /next/) {
    is($other->finish_sent, 'ok', 'and is woken by the next job');
    last if $other->output eq 'next';
    $other->send($take);
}

# --- a woken waiter that goes away passes the wake on ---------------------------------------------
# The housekeeper is stopped, so that only the one who leaves can wake the next. The first waiter is
# stopped when the job comes: it is woken, but cannot act on it before it is cancelled or terminated.
sub two_waiters {
    my ($first, $second) = map { new_session($node) } 1 .. 2;
    $first->send(q{CALL durable_work.wait_for_work('{d}', '1 h')});
    waiting($first);
    $second->send(q{CALL durable_work.wait_for_work('{d}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('d', 'w', 1)});
    waiting($second);
    my $housekeeper = housekeeper($node, 'postgres');
    signal_stopped($housekeeper);
    return ($first, $second, $housekeeper);
}

for my $function (qw(pg_cancel_backend pg_terminate_backend)) {
    my ($first, $second, $housekeeper) = two_waiters();
    signal_stopped($first->pid);
    sql(qq(SELECT durable_work.enqueue('d', '{"n": "$function"}')));
    sql("SELECT $function(" . $first->pid . ')');
    kill 'CONT', $first->pid;
    my $state = $first->finish_sent;
    is($state, $function eq 'pg_cancel_backend' ? '57014' : '57P01', "$function: the woken waiter ends");
    is($second->finish_sent, 'ok', "$function: the next waiter is woken instead");
    is($second->output, $function, "$function: and gets the job");
    kill 'CONT', $housekeeper;
    $_->quit for $first, $second;
}

# So it does when it has returned to its client, which goes away.
{
    my ($first, $second, $housekeeper) = two_waiters();
    sql(q{SELECT durable_work.enqueue('d', '{"n": "left"}')});
    is($first->finish_sent, 'ok', 'the first waiter is woken');
    $first->quit;
    is($second->finish_sent, 'ok', 'its client leaves, and the next waiter is woken instead');
    is($second->output, 'left', 'and gets the job');
    kill 'CONT', $housekeeper;
    $second->quit;
}

# A woken client that does not claim at all keeps the others waiting only until the housekeeper looks.
my $lazy = new_session($node);
my $keen = new_session($node);
$lazy->send(q{CALL durable_work.wait_for_work('{d}', '1 h')});
waiting($lazy);
$keen->send(q{CALL durable_work.wait_for_work('{d}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('d', 'w', 1)});
waiting($keen);
sql(q{SELECT durable_work.enqueue('d', '{"n": "for the keen"}')});
is($lazy->finish_sent, 'ok', 'the first waiter is woken and does nothing');
is($keen->finish_sent, 'ok', 'the second one is woken as well');
is($keen->output, 'for the keen', 'and gets the job');

# --- the queue goes away --------------------------------------------------------------------------
$keen->send(q{CALL durable_work.wait_for_work('{d}', '1 h')});
waiting($keen);
sql(q{SELECT durable_work.drop_queue('d', force => true)});
like($keen->finish_sent, qr/^(ok|DW002)$/, 'a waiter does not sleep on when its queue is dropped');
$keen->send(q{CALL durable_work.wait_for_work('{a}', '1 h')});
waiting($keen);
sql('DROP EXTENSION durable_work CASCADE');
isnt($keen->finish_sent, 'lost', 'nor when the extension is dropped');

$_->quit for $one, $two, $lazy, $keen, @waiters;
$node->stop;
done_testing();
