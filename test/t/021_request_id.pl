# claim with a request_id: a lost reply is answered with the same batch, whoever asks again and
# whatever has become of the first call.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('request_id', conf => ['durable_work.max_resident_jobs = 256']);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{SELECT durable_work.create_queue(q, lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{a,b,c,d}'::text[]) q});

sub put { my ($queue, $n) = @_; return sql("SELECT count(*) FROM durable_work.enqueue_many('$queue', ARRAY(SELECT to_jsonb(i) FROM generate_series(1, $n) i))"); }
# "job:token@deadline" of each row, in the order of the reply.
my $list = q{string_agg(format('%s:%s@%s#%s', job_id, lease_token, date_trunc('milliseconds', lease_expires_at), attempt), ' ' ORDER BY n)};
sub claim_as {
    my ($id, %with) = @_;
    my $queues = $with{queues} // q{'a'};
    my $worker = $with{worker} // 'w';
    my $more = $with{more} // '';
    my $most = $with{most} // 3;
    return "SELECT coalesce($list, 'none') FROM durable_work.claim($queues, '$worker', $most, request_id => '$id'$more) WITH ORDINALITY AS c(job_id, lease_token, queue, partition_key, payload, headers, attempt, enqueued_at, lease_expires_at, priority, n)";
}
sub waiting_for_transaction {
    my ($session, $what) = @_;
    return ok(wait_until($node, 'postgres', 'SELECT coalesce((SELECT wait_event_type = $$Lock$$ AND wait_event = $$virtualxid$$ FROM pg_stat_activity WHERE pid = ' . $session->pid . '), false)'), $what);
}
my $one = new_session($node);
my $two = new_session($node);

# --- a lost reply ---------------------------------------------------------------------------------
put('a', 10);
my $batch = $one->query(claim_as('r1'));
like($batch, qr/^\d+:\d+@\S+ \S+ \d+:\d+@\S+ \S+ \d+:\d+@\S+ \S+$/, 'a first call gets jobs');
is($two->query(claim_as('r1')), $batch, 'another connection that repeats it gets the same jobs, tokens and deadlines');
is($one->query(claim_as('r1')), $batch, 'and so does the same one');
is(sql(claim_as('r1')), $batch, 'and a new one, as behind a pooler');
is(sql(claim_as('r1', most => 1, more => q{, lease => '1 s'})), $batch, 'whatever else it asks for');
isnt($two->query(claim_as('r2')), $batch, 'another request is another batch');
is(sql(q{SELECT count(*) FROM durable_work.leases}), '6', 'nothing else was handed out');
is(sql(qq{SELECT array_agg(durable_work.try_complete(split_part(j, ':', 1)::bigint, split_part(split_part(j, ':', 2), '\@', 1)::bigint)) FROM regexp_split_to_table('$batch', '#1 ?') j WHERE j <> ''}),
    '{completed,completed,completed}', 'its tokens are good');

# --- whose request it is --------------------------------------------------------------------------
put('b', 10);
my $of_w = $one->query(claim_as('r1', queues => q{'b'}, most => 1));
isnt($of_w, 'none', 'the same id for another queue is another request');
isnt($two->query(claim_as('r1', queues => q{'b'}, most => 1, worker => 'other')), $of_w, 'for another worker');
isnt($two->query(claim_as('r1', queues => q{'b'}, most => 1, more => ', instance => 7')), $of_w, 'for another instance');
isnt($two->query(claim_as('r1', queues => q{'{b}'::text[]}, most => 1)), 'none', 'one queue in an array');
is($two->query(claim_as('r1', queues => q{'b'}, most => 1)), $of_w, 'and each keeps its own');

# --- several queues -------------------------------------------------------------------------------
sql(q{SELECT durable_work.drop_queue(q, force => true) FROM unnest('{a,b}'::text[]) q; SELECT durable_work.create_queue(q, lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{a,b}'::text[]) q});
put($_, 2) for qw(b c d);
my $several = claim_as('s1', queues => q{'{a,b,c,d}'::text[]}, most => 5);
$batch = $one->query($several);
is(() = $batch =~ /:/g, 5 * 3, 'five jobs of three queues');
is($two->query($several), $batch, 'the same batch again, in the same order');
isnt($two->query(claim_as('s1', queues => q{'{d,c,b,a}'::text[]}, most => 5)), $batch, 'the queues in another order are another request');
sql(q{SELECT durable_work.drop_queue(q, force => true) FROM unnest('{a,b,c,d}'::text[]) q; SELECT durable_work.create_queue(q, lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{a,b,c,d}'::text[]) q});

# --- the first call is still open -----------------------------------------------------------------
put('a', 3);
$one->query('BEGIN');
$batch = $one->query(claim_as('o1', most => 2));
is($one->query(claim_as('o1', most => 2)), $batch, 'in the same transaction it is answered at once');
$two->send(claim_as('o1', most => 2));
waiting_for_transaction($two, 'another connection waits for the transaction of the first call');
$one->query('COMMIT');
is($two->finish_sent, 'ok', 'after its commit');
is($two->output, $batch, 'it gets the batch');

put('b', 2);
$one->query('BEGIN');
$batch = $one->query(claim_as('o2', queues => q{'b'}, most => 2));
$two->send(claim_as('o2', queues => q{'b'}, most => 2));
waiting_for_transaction($two, 'it waits');
$one->query('ROLLBACK');
is($two->finish_sent, 'ok', 'after a rollback');
like($two->output, qr/#2/, 'it gets a batch of its own, the attempt charged');
unlike($two->output, qr/none/, 'with jobs');
isnt($two->output, $batch, 'and new tokens');

$one->query('BEGIN');
$one->query(claim_as('o3', queues => q{'c'}));
is($two->query(claim_as('o3', queues => q{'c'})), 'none', 'an empty batch is not waited for');
$one->query('COMMIT');
put('c', 4);
isnt($two->query(claim_as('o3', queues => q{'c'}, most => 1)), 'none', 'nor remembered');

$one->query('BEGIN; SAVEPOINT s');
$one->query(claim_as('o4', queues => q{'c'}, most => 1));
$one->query('ROLLBACK TO s');
my $mine = $one->query(claim_as('o4', queues => q{'c'}, most => 1));
isnt($mine, 'none', 'after a rollback to a savepoint the same transaction gets a new batch');
$one->query('COMMIT');
is($two->query(claim_as('o4', queues => q{'c'}, most => 1)), $mine, 'which is the one that counts');

# A session that is terminated with its claim open.
$one->query('BEGIN');
$one->query(claim_as('o5', queues => q{'c'}, most => 1));
$two->send(claim_as('o5', queues => q{'c'}, most => 1));
waiting_for_transaction($two, 'it waits for a session');
sql('SELECT pg_terminate_backend(' . $one->pid . ')');
is($two->finish_sent, 'ok', 'that is terminated');
isnt($two->output, 'none', 'and gets a new batch');
$one = new_session($node);

# --- what became of the batch ---------------------------------------------------------------------
sql(q{SELECT durable_work.drop_queue('a', force => true); SELECT durable_work.create_queue('a', lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0)});
put('a', 4);
sql(q{INSERT INTO helper.held SELECT job_id, lease_token, payload::text, attempt FROM durable_work.claim('a', 'w', request_id => 'p1')});
my $left = q{SELECT coalesce(string_agg(payload::text, ' ' ORDER BY job_id), 'none') FROM durable_work.claim('a', 'w', request_id => 'p1')};
is(sql($left), '1 2 3 4', 'all of it');
sql(q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '2'});
is(sql($left), '1 3 4', 'a job that was completed since is not listed');
sql(q{SELECT durable_work.cancel(job_id) FROM helper.held WHERE n = '3'});
is(sql($left), '1 4', 'nor one that was cancelled');
$one->query(q{BEGIN; SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '1'});
is($two->query($left), '4', 'nor one that is being completed');
is($one->query($left), '4', 'by whomever');
$one->query('ROLLBACK');
is($two->query($left), '1 4', 'unless that is rolled back');
sql(q{SELECT durable_work.release(job_id, token) FROM helper.held WHERE n = '4'});
is(sql($left), '1', 'nor one that was given back');
sql(q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = '1'});
is(sql($left), 'none', 'of a finished batch there is nothing left, until its first deadline');
is(sql(q{SELECT payload FROM durable_work.claim('a', 'w', request_id => 'p2')}), '4', 'other calls get what is there');

put('d', 2);
my $short = q{SELECT coalesce(string_agg(attempt::text, ' '), 'none') FROM durable_work.claim('d', 'w', lease => '500 ms', request_id => 'e1')};
is(sql($short), '1 1', 'leases that are short');
ok(wait_until($node, 'postgres', $short, '2 2'), 'when they have run out the same call gets a new batch');

# A job whose expires_at passes while it is held stays the holder's.
sql(q{SELECT durable_work.create_queue('e', lease => '1 h'); SELECT durable_work.enqueue('e', '1', expires_at => now() + interval '1500 ms')});
my $expires = claim_as('x1', queues => q{'e'});
$batch = sql($expires);
isnt($batch, 'none', 'a job that expires is handed out before that');
ok(wait_until($node, 'postgres', q{SELECT clock_timestamp() > (SELECT expires_at + interval '50 ms' FROM durable_work.inbox WHERE queue = 'e')}), 'and is held when its time is over');
is(sql($expires), $batch, 'the same call lists it still');
is(sql(q{SELECT durable_work.try_complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'e'}), 'completed', 'and it can be completed');

# --- waiting --------------------------------------------------------------------------------------
sub asleep {
    my ($session, $what) = @_;
    return ok(wait_until($node, 'postgres', 'SELECT coalesce((SELECT state = $$active$$ AND wait_event_type = $$Extension$$ FROM pg_stat_activity WHERE pid = ' . $session->pid . '), false)'), $what);
}
my $waits = claim_as('w1', queues => q{'waits'}, most => 1, more => q{, wait => '5 s'});
sql(q{SELECT durable_work.create_queue('waits', lease => '1 h')});
$_->send($waits) for $one, $two;
asleep($one, 'a call that waits');
asleep($two, 'and its repetition on another connection');
put('waits', 2);
is($_->finish_sent, 'ok', 'both end') for $one, $two;
is($one->output, $two->output, 'with the same batch');
is(sql(q{SELECT count(*) FROM durable_work.leases WHERE queue = 'waits'}), '1', 'of one job');

# --- a full table ---------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('full', lease => '1 h')});
put('full', 80);
my $room = sql(<<'SQL');
DO $$
DECLARE taken int := 0;
BEGIN
    LOOP
        PERFORM FROM durable_work.claim('full', 'w', 1, request_id => 'f' || taken);
        taken := taken + 1;
        EXIT WHEN taken > 60;
    END LOOP;
EXCEPTION WHEN configuration_limit_exceeded THEN
    NULL;
END $$;
SELECT count(*) FROM durable_work.leases WHERE queue = 'full'
SQL
is($room, '0', 'the block was rolled back when the table was full');
for my $i (1 .. 60) {
    my $state = $two->try("SELECT count(*) FROM durable_work.claim('full', 'w', 1, request_id => 'g$i')");
    next if $state eq 'ok';
    is($state, '53400', 'a table that is full of held batches is an error');
    like($two->errors, qr/HINT/, 'with a hint');
    $room = $i - 1;
    last;
}
cmp_ok($room, '>', 5, "after $room batches");
is(sql(q{SELECT count(*) FROM durable_work.claim('full', 'w', 1)}), '1', 'claims without a request_id go on');
is(sql(q{SELECT count(*) FROM durable_work.claim('full', 'w', 1, request_id => 'g1')}), '1', 'and so do repetitions');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.claim('full', 'w', 1, request_id => 'g1')});
is(sql(q{SELECT count(*) FROM durable_work.claim('full', 'w', 1, request_id => 'next')}), '1', 'a batch that is finished makes room');
sql(q{SELECT durable_work.drop_queue('full', force => true)});

# --- a crash --------------------------------------------------------------------------------------
put('waits', 1);
$batch = sql(claim_as('crash', queues => q{'waits'}, most => 1));
$_->quit for $one, $two;
$node->stop('immediate');
$node->start;
is(sql(q{TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim('waits', 3) RETURNING attempt}), "1\n1\n1", 'after a crash nobody holds anything');
sql(q{SELECT durable_work.release(job_id, token) FROM helper.held});
my $after = sql(claim_as('crash', queues => q{'waits'}, most => 1));
isnt($after, 'none', 'and the same call gets a batch');
isnt($after, $batch, 'with new tokens');

$node->stop;
done_testing();
