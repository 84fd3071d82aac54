# wait_for_job: sleeps without a snapshot until the job has ended, however it ends, and is woken then.
# Timeouts of the waits are far longer than the tests' own limit: a wake-up that does not come fails.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('wait_for_job', conf => [ "durable_work.max_wait = '2 h'", "durable_work.timer_horizon = '1 min'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 2, backoff => 'fixed', backoff_base => '0', jitter => 0)});

sub new_job { my ($queue, $more) = @_; return sql(qq(SELECT job_id FROM durable_work.enqueue('@{[ $queue // 'q' ]}', '{}'@{[ $more // '' ]}))); }
sub hold { return sql(q{TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim('q', 1) RETURNING job_id}); }
sub decide { my ($call) = @_; return sql("SELECT durable_work.$call FROM helper.held"); }
sub waiting {
    my ($session, $what) = @_;
    my $pid = $session->pid;
    return ok(wait_until($node, 'postgres', <<"SQL"), $what // 'the session waits');
SELECT coalesce((SELECT state = 'active' AND wait_event_type = 'Extension' AND query LIKE '%wait_for_job%'
                 FROM pg_stat_activity WHERE pid = $pid), false)
SQL
}
my $one = new_session($node);
my $two = new_session($node);

# --- what a wait holds ----------------------------------------------------------------------------
my $job = new_job();
$one->send("CALL durable_work.wait_for_job($job, '1 h')");
waiting($one, 'a waiter shows in pg_stat_activity');
is(sql('SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = ' . $one->pid), 't', 'it holds no snapshot and no transaction id');
is(sql('SELECT count(*) FROM pg_locks WHERE locktype = $$relation$$ AND pid = ' . $one->pid), '0', 'and no lock on a table');

# --- how jobs end ---------------------------------------------------------------------------------
hold();
ok(!$one->done, 'a claim is no end');
$two->query('BEGIN');
$two->query(q{SELECT durable_work.complete(job_id, token, '{"answer": 42}') FROM helper.held});
ok(!$one->done, 'nor is a completion that is not committed');
$two->query('COMMIT');
is($one->finish_sent, 'ok', 'its commit is');
is($one->output, 'completed|{"answer": 42}', 'the status and the result come with it');
is($one->query("CALL durable_work.wait_for_job($job, '1 h')"), 'completed|{"answer": 42}', 'of a job that has ended they come at once');
is($one->query("CALL durable_work.wait_for_job(job_id => $job, timeout => '0')"), 'completed|{"answer": 42}', 'also without waiting');
is($one->query("CALL durable_work.wait_for_job($job, '1 h', 'x', '1')"), 'completed|{"answer": 42}', 'what is given for them does not matter');
my $large = q{(SELECT jsonb_object_agg(i::text, md5(i::text)) FROM generate_series(1, 5000) i)};
$job = new_job();
hold();
$one->send("CALL durable_work.wait_for_job($job, '1 h')");
waiting($one);
decide("complete(job_id, token, $large)");
is($one->finish_sent, 'ok', 'a large result');
cmp_ok(length($one->output), '>', 200_000, 'comes whole');

my %ends = (
    'a completion without a result' => [ sub { hold(); decide('complete(job_id, token)'); }, 'completed|' ],
    'a cancel of a job that waits' => [ sub { sql("SELECT durable_work.cancel($job)"); }, 'cancelled|' ],
    'a cancel of a job that is held' => [ sub { hold(); sql("SELECT durable_work.cancel($job)"); }, 'cancelled|' ],
    'a rejection' => [ sub { hold(); decide(q{reject(job_id, token, 'no')}); }, 'dead_letter|' ],
    'the last failure' => [ sub { for (1, 2) { hold(); decide('fail(job_id, token)'); } }, 'dead_letter|' ],
    'the sweep of the last attempt' => [ sub { hold(); decide('fail(job_id, token)'); sql(q{SELECT * FROM helper.claim('q', 1, lease => '100 ms')}); }, 'dead_letter|' ],
    'a rollback without attempts left' => [ sub { hold(); decide('fail(job_id, token)'); sql(q{BEGIN; SELECT * FROM durable_work.claim('q', 'w', 1); ROLLBACK}); }, 'dead_letter|' ],
);
for my $end (sort keys %ends) {
    my ($act, $answer) = @{ $ends{$end} };
    $job = new_job();
    $_->send("CALL durable_work.wait_for_job($job, '1 h')") for $one, $two;
    waiting($_) for $one, $two;
    $act->();
    is($_->finish_sent, 'ok', "$end ends the wait") for $one, $two;
    is($_->output, $answer, 'with what became of it') for $one, $two;
}

# --- what is no end -------------------------------------------------------------------------------
$job = new_job();
is($one->query("CALL durable_work.wait_for_job($job, '50 ms')"), 'pending|', 'when the time is over, the status is told');
hold();
is($one->query("CALL durable_work.wait_for_job($job, '50 ms')"), 'processing|', 'of a job in work too');
$one->send("CALL durable_work.wait_for_job($job, '1 h')");
waiting($one);
decide('fail(job_id, token)');
hold();
decide('release(job_id, token)');
$two->query("BEGIN; SELECT durable_work.cancel($job); ROLLBACK");
waiting($one, 'a retry, a release and a rollback are no end');
hold();
decide('complete(job_id, token)');
is($one->finish_sent, 'ok', 'the completion is');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.claim('q', 'w')});

# --- a job that is not in memory ------------------------------------------------------------------
$job = new_job('q', q{, delay => '1 h'});
$one->send("CALL durable_work.wait_for_job($job, '1 h')");
waiting($one, 'a job that is due in an hour is on disk only');
sql("SELECT durable_work.cancel($job)");
is($one->finish_sent, 'ok', 'its cancel ends the wait');
is($one->output, 'cancelled|', 'as for any other');

# --- between the look and the sleep ---------------------------------------------------------------
# The completing session is stopped, or runs freely, while waits begin: whatever the order, each ends.
for my $round (1 .. 60) {
    $job = new_job();
    hold();
    $one->send("CALL durable_work.wait_for_job($job, '1 h')");
    $two->send('SELECT durable_work.complete(job_id, token) FROM helper.held');
    $_->finish_sent eq 'ok' or fail("round $round") for $one, $two;
    $one->output eq 'completed|' or fail("round $round: " . $one->output);
}
pass('waits that begin while the job ends');

# --- the queue goes away --------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('gone')});
$job = new_job('gone');
$one->send("CALL durable_work.wait_for_job($job, '1 h')");
waiting($one);
sql(q{SELECT durable_work.drop_queue('gone', force => true)});
is($one->finish_sent, 'DW002', 'the loss of the queue ends the wait');
is($one->try("CALL durable_work.wait_for_job($job, '1 h')"), 'DW002', 'there is no such job any more');
is($one->try("CALL durable_work.wait_for_job(1000000000, '1 h')"), 'DW002', 'nor one that never was');

# --- where it is refused --------------------------------------------------------------------------
$job = new_job();
is($one->try("BEGIN; CALL durable_work.wait_for_job($job, '1 h')"), '25001', 'refused in a transaction block');
like($one->errors, qr/wait_for_job cannot run.*HINT/s, 'with a hint');
$one->query('ROLLBACK');
sql(qq{CREATE FUNCTION waits() RETURNS void LANGUAGE plpgsql AS \$\$ DECLARE s text; r jsonb; BEGIN CALL durable_work.wait_for_job($job, '1 h', s, r); END \$\$});
is($one->try('SELECT waits()'), '25001', 'refused in a function');
is($one->try("CALL durable_work.wait_for_job($job, '3 h')"), '22023', 'longer than max_wait');

# --- interrupts leave nobody behind ---------------------------------------------------------------
for my $function (qw(pg_cancel_backend pg_terminate_backend)) {
    my $session = new_session($node);
    $session->send("CALL durable_work.wait_for_job($job, '1 h')");
    waiting($session);
    sql("SELECT $function(" . $session->pid . ')');
    is($session->finish_sent, $function eq 'pg_cancel_backend' ? '57014' : '57P01', "$function ends the wait");
    is($session->try("CALL durable_work.wait_for_job($job, '10 ms')"), 'ok', 'and the session can wait again') if $function eq 'pg_cancel_backend';
    $session->quit;
}
$one->query(q{SET statement_timeout = '200 ms'});
is($one->try("CALL durable_work.wait_for_job($job, '1 h')"), '57014', 'so does statement_timeout');
$one->query('RESET statement_timeout');
$one->send("CALL durable_work.wait_for_job($job, '1 h')");
waiting($one);
sql("SELECT durable_work.cancel($job)");
is($one->finish_sent, 'ok', 'the next wait is woken');

# --- and a crash ----------------------------------------------------------------------------------
$job = new_job();
hold();
decide(q{complete(job_id, token, '"kept"')});
my $open = new_job();
$_->quit for $one, $two;
$node->stop('immediate');
$node->start;
is(sql("CALL durable_work.wait_for_job($job, '1 h')"), 'completed|"kept"', 'after a crash the log tells');
my $after = new_session($node);
$after->send("CALL durable_work.wait_for_job($open, '1 h')");
hold();
decide('complete(job_id, token)');
is($after->finish_sent, 'ok', 'and a job from before it is waited for');
is($after->output, 'completed|', 'to its end');
$after->quit;

$node->stop;
done_testing();
