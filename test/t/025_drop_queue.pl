# drop_queue while jobs are held, delayed, being enqueued and being decided, and while sessions sleep for them: a drop
# that is refused or rolled back changes nothing, one that commits ends everything that had to do with the queue.
# Timeouts of the waits are far longer than the tests' own limit: a wake-up that does not come fails.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('drop_queue', conf => [ "durable_work.max_wait = '2 h'", 'durable_work.max_resident_jobs = 256' ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sub make_queue { return sql(q{SELECT durable_work.create_queue('gone', lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0)}); }
sub new_job { my ($n, $more) = @_; return sql(qq(SELECT job_id FROM durable_work.enqueue('gone', '{"n": "$n"}'@{[ $more // '' ]}))); }

# A call of a function that takes job_id and lease_token, for a job that was held.
sub with_token { my ($function, $n, $more) = @_; return "SELECT durable_work.$function(job_id, token@{[ $more // '' ]}) FROM helper.held WHERE n = '$n'"; }

sub sleeping {
    my ($session, $what) = @_;
    my $pid = $session->pid;
    return ok(wait_until($node, 'postgres', <<"SQL"), $what // 'the session sleeps');
SELECT coalesce((SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid), false)
SQL
}

# Everything that is known of the queue, in the tables and in memory.
sub picture {
    return sql(<<'SQL');
SELECT (SELECT q FROM durable_work.queues q WHERE queue = 'gone'),
       (SELECT (ready, delayed, processing, spilled, dead_letter, enqueued, claimed, completed, failed, unfinished)
        FROM durable_work.queue_stats WHERE queue = 'gone'),
       (SELECT string_agg((job_id, worker, lease_token, attempt, lease_expires_at - leased_at)::text, ' ' ORDER BY job_id) FROM durable_work.leases WHERE queue = 'gone'),
       (SELECT string_agg((id, status)::text, ' ' ORDER BY id) FROM durable_work.inbox WHERE queue = 'gone')
SQL
}

# --- a queue in the middle of its work ------------------------------------------------------------
make_queue();
sql(q{SELECT durable_work.create_queue('other'); CREATE TABLE effect (n text)});
my @held = qw(complete try many fail release extend progress completing failing);
new_job($_) for @held;
sql(q{INSERT INTO helper.held SELECT * FROM helper.claim('gone', 9, 'holder')});
my $held_job = sql(q{SELECT job_id FROM helper.held WHERE n = 'extend'});
my $delayed_job = new_job('delayed', q{, delay => '10 min'});
my $parked_job = new_job('parked', q{, delay => '5 h', idempotency_key => 'key'});
sql(q(SELECT durable_work.enqueue('other', '{"n": "bystander"}')));
my $other_job = sql(q{SELECT job_id FROM helper.claim('other', 1)});

my %open = map { $_ => new_session($node) } qw(enqueuing completing failing claiming);
$open{claiming}->query('BEGIN');
new_job('claimed');
is($open{claiming}->query(q{SELECT payload->>'n' FROM durable_work.claim('gone', 'careless')}), 'claimed', 'a claim whose transaction is open');
$open{enqueuing}->query(q(BEGIN; INSERT INTO effect VALUES ('enqueuing'); SELECT durable_work.enqueue('gone', '{"n": "late"}', idempotency_key => 'late')));
$open{completing}->query(q{BEGIN; INSERT INTO effect VALUES ('completing');} . with_token('complete', 'completing'));
$open{failing}->query(q{BEGIN; INSERT INTO effect VALUES ('failing');} . with_token('fail', 'failing', ', retryable => false'));

my %waits = (
    'wait_for_work, this queue alone' => q{CALL durable_work.wait_for_work('{gone}', '1 h')},
    'wait_for_work, another one too' => q{CALL durable_work.wait_for_work('{other,gone}', '1 h')},
    'wait_for_job, a held job' => "CALL durable_work.wait_for_job($held_job, '1 h')",
    'wait_for_job, a job in memory' => "CALL durable_work.wait_for_job($delayed_job, '1 h')",
    'wait_for_job, a job on disk' => "CALL durable_work.wait_for_job($parked_job, '1 h')",
);
my %bystanders = (
    'wait_for_work, another queue' => q{CALL durable_work.wait_for_work('{other}', '1 h')},
    'wait_for_job, a job of another queue' => "CALL durable_work.wait_for_job($other_job, '1 h')",
);
my %sleeper = map { $_ => new_session($node) } keys %waits, keys %bystanders;
for my $name (sort keys %sleeper) {
    $sleeper{$name}->send($waits{$name} // $bystanders{$name});
    sleeping($sleeper{$name}, $name);
}

# --- a drop that is refused -----------------------------------------------------------------------
my $before = picture();
my $refusal = message_of($node, 'postgres', q{SELECT durable_work.drop_queue('gone')});
like($refusal, qr/queue "gone" has unfinished jobs/, 'without force the drop is refused');
like($refusal, qr/In memory 1 wait and 10 are leased/, 'with what is in the way');
is(state_of($node, 'postgres', q{SELECT durable_work.drop_queue('gone')}), 'DW006', 'as not allowed in this state');
is(picture(), $before, 'and changes nothing');

# --- a drop that is rolled back -------------------------------------------------------------------
my $dropper = new_session($node);
$dropper->query(q{BEGIN; SELECT durable_work.drop_queue('gone', force => true)});
is(picture(), $before, 'a drop that is not committed changes nothing for others');
is(state_of($node, 'postgres', with_token('set_progress', 'progress', q{, '1'})), 'ok', 'holders go on');
$dropper->query('ROLLBACK');
is(picture(), $before, 'nor does one that is rolled back');
$dropper->query(q{BEGIN; SAVEPOINT s; SELECT durable_work.drop_queue('gone', force => true); ROLLBACK TO s; COMMIT});
is(picture(), $before, 'nor one that a savepoint takes back');
sleeping($sleeper{$_}, "$_: still") for sort keys %sleeper;

# Both that wait for work of this queue are woken, one for each job, and can wait for it again.
my @for_work = grep { /^wait_for_work/ } sort keys %waits;
new_job('after the rollback') for @for_work;
for my $name (@for_work) {
    is($sleeper{$name}->finish_sent, 'ok', "$name: after the rollback work still ends it");
    is($sleeper{$name}->query(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.claim('gone', 'w', 1)}), 't', 'and is there');
}
for my $name (@for_work) {
    $sleeper{$name}->send($waits{$name});
    sleeping($sleeper{$name}, "$name: again");
}

# --- the drop -------------------------------------------------------------------------------------
# Last of all the claim, which waits for a few seconds at most.
$sleeper{claim} = new_session($node);
$sleeper{claim}->send(q{SELECT count(*) FROM durable_work.claim('gone', 'w', wait => '5 s')});
sleeping($sleeper{claim}, 'claim with wait');
$dropper->query(q{SELECT durable_work.drop_queue('gone', force => true)});
is($sleeper{claim}->finish_sent, 'DW002', 'claim with wait: ends, there is no such queue');

for my $name (sort keys %waits) {
    is($sleeper{$name}->finish_sent, $name =~ /job/ ? 'DW002' : 'ok', "$name: ends");
}
is($sleeper{'wait_for_work, this queue alone'}->try(q{SELECT * FROM durable_work.claim('gone', 'w')}), 'DW002', 'the claim that follows is told why');
is($sleeper{'wait_for_work, another one too'}->try(q{SELECT * FROM durable_work.claim('{other,gone}'::text[], 'w')}), 'DW002', 'of several queues too');
is($sleeper{'wait_for_work, another one too'}->query(q{SELECT count(*) FROM durable_work.claim('other', 'w')}), '0', 'the others can be claimed from');
is(state_of($node, 'postgres', $waits{$_}), 'DW002', "$_: not possible any more") for sort keys %waits;

# --- who had to do with its jobs ------------------------------------------------------------------
my %calls = (
    complete => with_token('complete', 'complete'),
    fail => with_token('fail', 'fail'),
    release => with_token('release', 'release'),
    extend => with_token('extend_lease', 'extend'),
    progress => with_token('set_progress', 'progress', q{, '1'}),
);
is(state_of($node, 'postgres', $calls{$_}), 'DW001', "$_: the holder is told") for sort keys %calls;
like(message_of($node, 'postgres', $calls{complete}), qr/DETAIL: +The queue of the job was dropped\./, 'and why');
is(sql(with_token('try_complete', 'try')), 'stale', 'without an error where it asks for that');
is(sql(q{SELECT outcome FROM durable_work.complete_many((SELECT array_agg(job_id) FROM helper.held WHERE n = 'many'), (SELECT array_agg(token) FROM helper.held WHERE n = 'many'))}),
    'stale', 'in batches too');
is(sql(q{SELECT count(*) FROM durable_work.heartbeat('holder')}), '0', 'its heartbeat lists nothing that it holds');
is(state_of($node, 'postgres', "SELECT durable_work.$_"), 'DW002', "$_: there is no such job")
  for "cancel($delayed_job)", "cancel($held_job)", "cancel($parked_job)", "explain_job($held_job)";

is($open{enqueuing}->try('COMMIT'), 'DW002', 'an enqueue that was open cannot commit');
like($open{enqueuing}->errors, qr/a queue was dropped while this transaction enqueued to it/, 'it is told why');
is($open{$_}->try('COMMIT'), 'ok', "$_: what was decided before the drop commits") for qw(completing failing claiming);
is(sql(q{SELECT string_agg(n, ' ' ORDER BY n) FROM effect}), 'completing failing', 'with all that its transaction did');

# --- what is left ---------------------------------------------------------------------------------
is(sql(q{SELECT count(*) FROM durable_work.leases WHERE queue = 'gone'}), '0', 'no lease is left');
is(sql(q{SELECT string_agg(queue, ' ' ORDER BY queue) FROM durable_work.queue_stats}), 'other', 'no figures');
is(sql(q{SELECT count(*) FROM durable_work.queue_figures()}), '1', 'no place in memory');
is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'gone'}), '0', 'no job');
is(sql(q{SELECT count(*) FROM durable_work.dead_letters}), '0', 'no dead letter');
is(sql(q{SELECT count(*) FROM durable_work.idempotency}), '0', 'no key');
sleeping($sleeper{$_}, "$_: sleeps on") for sort keys %bystanders;
sql(q(SELECT durable_work.enqueue('other', '{"n": "next"}')));
is($sleeper{'wait_for_work, another queue'}->finish_sent, 'ok', 'and is woken by work');
sql("SELECT durable_work.cancel($other_job)");
is($sleeper{'wait_for_job, a job of another queue'}->finish_sent, 'ok', 'or by the end of its job');
is(sql(q{SELECT payload->>'n' FROM durable_work.claim('other', 'w')}), 'next', 'the other queue goes on');

# --- another queue of the same name ---------------------------------------------------------------
my $waiter = $sleeper{claim};
make_queue();
is(sql(q{SELECT (ready, delayed, processing, spilled, enqueued, claimed, unfinished) FROM durable_work.queue_stats WHERE queue = 'gone'}), '(0,0,0,0,0,0,0)', 'it is empty');
is(sql(q{SELECT count(*) FROM durable_work.claim('gone', 'w')}), '0', 'and hands out nothing');
is(state_of($node, 'postgres', $calls{complete}), 'DW001', 'old tokens are as stale as before');
$waiter->send(q{CALL durable_work.wait_for_work('{gone}', '1 h')});
sleeping($waiter);
is(sql(q(SELECT inserted FROM durable_work.enqueue('gone', '{"n": "new"}', idempotency_key => 'key'))), 't', 'an old key is free');
is($waiter->finish_sent, 'ok', 'its jobs wake');
$node->stop('immediate');
$node->start;
ok(wait_until($node, 'postgres', q{SELECT unfinished = 1 FROM durable_work.queue_stats WHERE queue = 'gone'}), 'a server that starts counts its jobs only');
is(sql(q{SELECT string_agg(n, ' ') FROM helper.claim('gone', 1)}), 'new', 'and hands out these');
is(sql(q{SELECT count(*) FROM durable_work.claim('gone', 'w')}), '0', 'not those of the old queue');
$_->quit for values %open, values %sleeper, $dropper;

# --- room -----------------------------------------------------------------------------------------
# Far more jobs than there is room for, if dropped ones kept theirs.
my $spilled = 0;
for (1 .. 8) {
    sql(q{SELECT durable_work.drop_queue('gone', force => true)});
    make_queue();
    sql(q{SELECT count(*) FROM durable_work.enqueue_many('gone', array_fill('{}'::jsonb, ARRAY[90]))});
    sql(q{SELECT count(durable_work.set_progress(job_id, lease_token, '1')) FROM durable_work.claim('gone', 'w', 30)});
    $spilled += sql(q{SELECT spilled FROM durable_work.queue_stats WHERE queue = 'gone'});
}
is($spilled, 0, 'dropped queues leave their room to others');

# --- a queue that has no place in memory ----------------------------------------------------------
# As when the server starts. Whoever sleeps for it hangs on no list, and learns of the drop nevertheless.
my $housekeeper = housekeeper($node, 'postgres');
signal_stopped($housekeeper);
sql(q{INSERT INTO durable_work.topic (name, dedupe_window, max_attempts) SELECT 'unplaced', dedupe_window, max_attempts FROM durable_work.topic WHERE name = 'gone'});
sql(<<'SQL');
DO $$
DECLARE
    made durable_work.queue;
BEGIN
    SELECT * INTO made FROM durable_work.queue WHERE name = 'gone';
    made.name := 'unplaced';
    made.id := nextval('durable_work.queue_id_seq');
    SELECT id INTO made.topic FROM durable_work.topic WHERE name = 'unplaced';
    INSERT INTO durable_work.queue SELECT made.*;
END $$
SQL
my $session = new_session($node);
$session->send(q{CALL durable_work.wait_for_work('{unplaced}', '1 h')});
sleeping($session);
sql(q{SELECT durable_work.drop_queue('unplaced', force => true)});
is($session->finish_sent, 'ok', 'the loss of a queue without a place ends the wait');
kill 'CONT', $housekeeper;
$session->quit;

$node->stop;
done_testing();
