# health(): each check is seen to warn, and to be content again; and the reasons of explain_waiting that take a stopped process, a lock or a
# restart. Elsewhere: `preloaded` (001_preload.pl), `launcher` and `housekeeper` (051_worker_slots.pl), `log` (060_rotation.pl), and of `limits`
# the limit of 0 (test/sql/queue_limits.sql).
# In no test, for it would have to wait until something has grown old: `snapshots` (an hour), `prepared`, and in `locks` an ordinary lock (ten
# minutes each), `housekeeping` as critical, and in `workers` the sentence about the last claim (a minute each; when it is said is in
# test/unit/waits_test.cpp).
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

# Nobody dies, and no wait ends, however slow the machine is.
my $node = new_server('health', init => { allows_streaming => 1 },
    conf => [ 'durable_work.max_resident_jobs = 256', 'max_prepared_transactions = 5',
        "durable_work.worker_dead_after = '1 h'", "durable_work.max_wait = '2 h'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

# health_of(CHECK): "severity|seen|advice"
sub health_of { return sql(qq{SELECT severity, seen, advice FROM durable_work.health() WHERE "check" = '$_[0]'}); }

# why(QUEUE): "reason jobs, reason jobs" of explain_waiting
sub why { return sql(qq{SELECT string_agg(concat_ws(' ', reason, jobs), ', ' ORDER BY reason) FROM durable_work.explain_waiting('$_[0]')}); }

sub becomes {
    my ($check, $severity, $name) = @_;
    ok(wait_until($node, 'postgres', qq{SELECT severity FROM durable_work.health() WHERE "check" = '$check'}, $severity), $name)
      or diag(health_of($check));
    return;
}

my $everything = q{SELECT bool_and(severity = 'ok' AND advice IS NULL) FROM durable_work.health()};
ok(wait_until($node, 'postgres', $everything), 'after a start everything is well, and there is no advice')
  or diag(sql('SELECT * FROM durable_work.health()'));
is(sql('SELECT count(*) - count(DISTINCT h."check") FROM durable_work.health() h'), '0', 'one row for each check');

# The transaction is old enough by the time its lock is looked at.
my $holder = new_session($node);
$holder->query('BEGIN; SELECT 1');

# --- queues and jobs ------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('mail', max_attempts => 1, lease => '1 h'); SELECT durable_work.pause_queue('mail')});
like(health_of('paused'), qr/^ok\|paused: mail; due in them: 0\|$/, 'an empty queue may be paused');
sql(q{SELECT durable_work.enqueue('mail', '{"n": 1}')});
like(health_of('paused'), qr/^warning\|paused: mail; due in them: 1\|.*resume_queue/, 'but not one with a due job');
sql(q{SELECT durable_work.resume_queue('mail')});
like(health_of('paused'), qr/^ok\|no queue is paused\|$/, 'it is resumed');

like(health_of('dead_letters'), qr/^ok\|there are no dead letters\|$/, 'nothing has died');
sql(q{SELECT durable_work.fail(job_id, lease_token, '{"why": 1}') FROM helper.claim('mail', 1)});
like(health_of('dead_letters'), qr/^warning\|1 kept; the last job died in "mail" \d+ s ago\|/, 'a job has died');
sql(q{UPDATE durable_work.dead_letter SET dead_at = dead_at - interval '2 days'});
like(health_of('dead_letters'), qr/^ok\|1 kept; the last job died in "mail" 2 days ago\|$/, 'one that died long ago is only told');

sql(q{SELECT durable_work.create_queue('nobody'); SELECT durable_work.enqueue('nobody', '{}', partition_key => 'k')});
like(health_of('workers'), qr/^ok\|/, 'a job that has just become due may wait');

sql(q{INSERT INTO durable_work.redrive_task (queue, to_queue, since, until, rate_per_second, matched, state, error, ended_at)
      SELECT id, id, '-infinity', 'infinity', 1, 1, 'failed', 'its queue does not exist', now() FROM durable_work.queue WHERE name = 'mail'});
like(health_of('redrives'), qr/^warning\|1 redrives have failed within a day, last number \d+: its queue does not exist\|/, 'a redrive has failed');
sql('DELETE FROM durable_work.redrive_task');
like(health_of('redrives'), qr/^ok\|no redrive is under way\|$/, 'it is put away');

# --- keys and limits ------------------------------------------------------------------------------
like(health_of('keys'), qr/^ok\|no key is blocked\|$/, 'no key waits for an operator');
sql(q{SELECT durable_work.create_queue(q, ordering => 'key', on_exhausted => 'hold', max_attempts => 1) FROM unnest('{few,orders}'::text[]) q;
      SELECT durable_work.enqueue('few', '{}', partition_key => 'a');
      SELECT count(*) FROM durable_work.enqueue_many('orders', '{1,2,3}', '{a,a,b}')});
sql(q{SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM helper.claim('few', 1);
      SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM helper.claim('orders', 2)});
like(health_of('keys'), qr/^warning\|3 keys of 2 queues are blocked, 2 of them of "orders"\|.*blocked_keys\('orders'\); mend the cause, then unblock_key\.$/,
    'keys of which a job has died');
sql(q{SELECT durable_work.unblock_key(queue, partition_key, 'skip') FROM durable_work.dead_letters WHERE queue IN ('few', 'orders')});
like(health_of('keys'), qr/^ok\|/, 'they go on');
sql(q{SELECT durable_work.drop_queue(q, force => true) FROM unnest('{few,orders}'::text[]) q});

# A bucket is full after an hour, so each key that starts a job is counted until then; tokens come much sooner.
like(health_of('limits'), qr/^ok\|no queue is limited\|$/, 'no queue is limited');
sql(q{SELECT durable_work.create_queue('crowd', lease => '1 h'); SELECT durable_work.set_rate_limit('crowd', 1000000, '1 h', scope => 'key');
      SELECT count(*) FROM durable_work.enqueue_many('crowd', array_fill('{}'::jsonb, '{1200}'), ARRAY(SELECT 'key ' || n FROM generate_series(1, 1200) n))});
ok(wait_until($node, 'postgres', q{
    WITH job AS MATERIALIZED (SELECT * FROM durable_work.claim('crowd', 'w', 100)),
         done AS MATERIALIZED (SELECT count(durable_work.complete(job_id, lease_token)) FROM job)
    SELECT severity FROM durable_work.health(), done WHERE "check" = 'limits'}, 'warning'), 'more keys are limited than can be counted');
like(health_of('limits'), qr/^warning\|more keys are limited than there is room to count: crowd\|.*max_resident_jobs/, 'says of which queue');
ok(wait_until($node, 'postgres', q{SELECT bool_or(detail ~ 'more keys are to be counted than there is room for') FROM durable_work.explain_waiting('crowd') WHERE reason = 'rate limited'}),
    'so does explain_waiting');
sql(q{SELECT durable_work.drop_queue('crowd', force => true)});
like(health_of('limits'), qr/^ok\|no queue is limited\|$/, 'it is gone');

# --- memory ---------------------------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('deep'); SELECT count(*) FROM durable_work.enqueue_many('deep', array_fill('{}'::jsonb, '{3000}'))});
becomes('memory', 'warning', 'a backlog deeper than memory');
like(health_of('memory'), qr/jobs of 1 queues wait on disk for room, the first is "deep"\|.*max_resident_jobs/, 'says which queue');
ok(wait_until($node, 'postgres', q{SELECT bool_or(reason = 'waiting for room' AND jobs > 2000 AND detail ~ 'max_resident_jobs') FROM durable_work.explain_waiting('deep')}),
    'explain_waiting says what they wait for');
is(sql(q{SELECT count(*) FROM durable_work.explain_waiting('deep') WHERE reason = 'no worker asks'}), '1', 'and of those in memory that nobody asks');
sql(q{SELECT durable_work.purge_queue('deep')});
becomes('memory', 'ok', 'it is gone');

# --- locks ----------------------------------------------------------------------------------------
is($holder->try('LOCK TABLE durable_work.dead_letter IN ACCESS EXCLUSIVE MODE'), 'ok', 'somebody locks a table');
becomes('locks', 'critical', 'a table that is locked');
like(health_of('locks'), qr/process \d+ has held AccessExclusiveLock on durable_work.dead_letter .*pg_terminate_backend/, 'says who holds it');
like(health_of('dead_letters'), qr/^unknown\|not known: canceling statement due to lock timeout\|/, 'a check that would wait for it is not made');
$holder->query('ROLLBACK');
like(health_of('locks'), qr/^ok\|/, 'the lock is gone');
like(health_of('dead_letters'), qr/^ok\|/, 'and the other check is made again');

# --- loading --------------------------------------------------------------------------------------
is($holder->try('BEGIN; LOCK TABLE durable_work.job_0 IN ACCESS EXCLUSIVE MODE'), 'ok', 'somebody locks the log');
sql('SELECT durable_work.reload()');
my $loading = q{SELECT bool_or(reason = 'loading') IS TRUE FROM durable_work.explain_waiting('nobody')};
ok(wait_until($node, 'postgres', $loading, 't'), 'explain_waiting says that the queue is being loaded');
$holder->query('ROLLBACK');
ok(wait_until($node, 'postgres', $loading, 'f'), 'until it is');

# --- what the housekeeper does ---------------------------------------------------------------------
sql(q{SELECT durable_work.create_queue('short', lease => '1 s', backoff_base => '1 ms', backoff_cap => '1 ms'); SELECT durable_work.enqueue('short', '{"n": "short"}')});
# The lock before may have met one of its phases.
becomes('housekeeping', 'ok', 'the housekeeper does what it has to');
$holder->query('BEGIN; LOCK TABLE durable_work.outcome_0 IN ACCESS EXCLUSIVE MODE');
sql(q{SELECT * FROM durable_work.claim('short', 'w')});
becomes('housekeeping', 'warning', 'a phase of the housekeeper fails');
# Others may fail for the same lock, and before it.
ok(wait_until($node, 'postgres', q{SELECT seen ~ 'ending leases fails: 55P03 canceling statement due to lock timeout \(\d+ times since ' FROM durable_work.health() WHERE "check" = 'housekeeping'}),
    'says which, and why') or diag(health_of('housekeeping'));
ok(wait_until($node, 'postgres', q{SELECT string_agg(reason || ' ' || jobs, ', ') FROM durable_work.explain_waiting('short')}, 'waiting for the sweep 1'),
    'explain_waiting says that a lease is over and not recorded yet') or diag(why('short'));
$holder->query('ROLLBACK');
becomes('housekeeping', 'ok', 'when it succeeds again that is over');
is(sql(q{SELECT attempt FROM helper.claim('short', 1)}), '2', 'and it has done its work');
$holder->quit;

# --- settings and versions --------------------------------------------------------------------------
$node->append_conf('postgresql.conf', 'durable_work.max_resident_jobs = 512');
$node->reload;
becomes('settings', 'warning', 'a setting waits for a restart');
like(health_of('settings'), qr/durable_work\.max_resident_jobs \(in use: 256\)\|Restart/, 'says which, and what is in use');
sql(q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'durable_work'});
like(health_of('versions'), qr/^critical\|the library is of version \S+, the extension of version 0\.0\.9\|.*UPDATE/, 'versions differ');
like(health_of('memory'), qr/^unknown\|not known: .*versions.* do not fit/, 'then the rest is not known');
sql(q{UPDATE pg_extension SET extversion = split_part(durable_work.library_version(), '-', 1) WHERE extname = 'durable_work'});
like(health_of('versions'), qr/^ok\|/, 'they fit again');

# --- damage ----------------------------------------------------------------------------------------
like(health_of('damage'), qr/^ok\|no damaged row was met\|$/, 'every row was where it was expected');
sql(q{SELECT durable_work.create_queue('moved'); SELECT durable_work.enqueue('moved', '{}')});
sql(q{UPDATE durable_work.job_0 SET enqueued_at = enqueued_at WHERE topic = (SELECT topic FROM durable_work.queue WHERE name = 'moved')});
# The row that the dispatcher knows of is good until it is vacuumed away.
sql('VACUUM (DISABLE_PAGE_SKIPPING) durable_work.job_0');
is(sql(q{SELECT count(*) FROM durable_work.claim('moved', 'w')}), '0', 'a job whose row somebody has written anew is not handed out');
like(health_of('damage'), qr/^warning\|0 rows of outcomes could not be read, 1 jobs were not where they were expected\|.*nothing is lost/, 'it was not where it was expected');
sql('SELECT durable_work.reload()');
is(sql(q{SELECT count(*) FROM helper.claim('moved', 1)}), '1', 'it is found');
sql(q{SELECT durable_work.drop_queue('moved', force => true)});
sql(q{INSERT INTO durable_work.outcome_0 (first_id, body) VALUES (1, '\x00')});
# As if it had been due for ten minutes when the server starts.
sql(q{UPDATE durable_work.job_0 SET enqueued_at = enqueued_at - interval '10 min'
      WHERE topic = (SELECT topic FROM durable_work.queue WHERE name = 'nobody')});
# What somebody has locked stays locked over the restart. The first is needed for the epoch, the second before claims are open.
sql(q{BEGIN; LOCK TABLE durable_work.worker IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'workers'});
sql(q{BEGIN; LOCK TABLE durable_work.epoch IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'epoch'});
$node->append_conf('postgresql.conf', 'durable_work.start_paused = on');
$node->restart;

# --- while the server starts ------------------------------------------------------------------------
becomes('epoch', 'critical', 'the epoch cannot be raised');
like(health_of('epoch'), qr/^critical\|the epoch is not raised yet: claims return nothing\|.*rows housekeeper and housekeeping/, 'says what that means');
like(health_of('queues'), qr/^critical\|(\d+) of \1 queues are not served: .*\|.*this stays/, 'no queue is served');
is(why('nobody'), 'server is starting', 'explain_waiting says that its queue is not known');
sql(q{ROLLBACK PREPARED 'epoch'});
ok(wait_until($node, 'postgres', q{SELECT bool_or(reason = 'server is starting' AND detail ~ 'until the housekeeper has raised the epoch') FROM durable_work.explain_waiting('nobody')}),
    'and, when the queue is known, that claims are not open') or diag(why('nobody'));
like(health_of('queues'), qr/^ok\|/, 'the queues are served');
sql(q{ROLLBACK PREPARED 'workers'});
becomes('epoch', 'ok', 'claims are open');
becomes('damage', 'critical', 'an outcome cannot be read');
like(health_of('damage'), qr/^critical\|1 rows of outcomes could not be read/, 'says how many');
like(health_of('settings'), qr/^ok\|/, 'the restart took the setting up');
like(health_of('memory'), qr/of 512 entries/, 'which is in use');

# --- nobody gets what is due --------------------------------------------------------------------------
sub workers_say { my ($sentence, $name) = @_; return like(health_of('workers'), qr/^warning\|in "nobody" 1 are due, the oldest for 1\d min: $sentence\|.*explain_waiting\('nobody'\)/, $name); }
becomes('workers', 'warning', 'nobody gets a job that is due');
workers_say('the database started paused and still is', 'the database is paused');
is(why('nobody'), 'start_paused 1', 'explain_waiting says so');
$node->append_conf('postgresql.conf', 'durable_work.start_paused = off');
$node->reload;
ok(wait_until($node, 'postgres', q{SELECT seen ~ 'no worker has asked' FROM durable_work.health() WHERE "check" = 'workers'}), 'it is paused no more');
workers_say('no worker has asked since the server started', 'nobody asks');
is(why('nobody'), 'no worker asks 1', 'explain_waiting says so');

# Two that sleep, one of them called for the job and hanging; nobody is there to call the other one.
my @sleepers = map { new_session($node) } 1 .. 2;
sql(q{SELECT durable_work.pause_queue('nobody')});
for my $n (1, 2) {
    $sleepers[ $n - 1 ]->send(q{CALL durable_work.wait_for_work('{nobody}', '1 h')});
    ok(wait_until($node, 'postgres', qq{SELECT sleeping = $n FROM durable_work.wakeups WHERE queue = 'nobody'}), 'a worker sleeps');
}
my $housekeeper = housekeeper($node, 'postgres');
ok(wait_until($node, 'postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $housekeeper"), 'the housekeeper has nothing to do');
signal_stopped($_) for $housekeeper, $sleepers[0]->pid;
sql(q{SELECT durable_work.resume_queue('nobody')});
workers_say('1 workers sleep and do not wake up', 'they sleep');
is(why('nobody'), 'workers are waking up 1', 'explain_waiting says so');
kill 'CONT', $_ for $housekeeper, $sleepers[0]->pid;
is($_->finish_sent, 'ok', 'each is called, for the one before it has not asked') for @sleepers;
$_->quit for @sleepers;

my %instance = map { $_ => sql("SELECT durable_work.register_worker('$_', '{nobody}')") } qw(anna bert);
my $owner = sql(q{SELECT durable_work.ring_owner('nobody', 'k')});
my ($other) = grep { $_ ne $owner } sort keys %instance;
is(sql("SELECT count(*) FROM durable_work.claim('nobody', '$other', owned_only => true, instance => $instance{$other})"), '0', 'a worker asks for jobs of its own');
workers_say('workers ask and get nothing, the last time .* ago', 'the job is that of another one');
is(why('nobody'), 'workers get nothing 1', 'explain_waiting says so');

sql("SELECT durable_work.deregister_worker('$_')") for keys %instance;
workers_say('their buckets have no owner, for none of its registered workers is alive, and nobody claims without owned_only', 'the others are gone');
is(why('nobody'), 'bucket not owned 1', 'explain_waiting says so');

# A limit that holds it back is the business of another check.
sql(q{SELECT durable_work.set_concurrency_limit(q, 1, scope => 'group', limit_group => 'one') FROM unnest('{mail,nobody}'::text[]) q;
      SELECT durable_work.enqueue('mail', '{}')});
is(sql(q{SELECT count(*) FROM helper.claim('mail', 1)}), '1', 'a job of another queue takes the only place');
like(health_of('limits'), qr/^warning\|jobs are due, and all places have been taken for long: nobody \(nothing started for 1\d min\)\|.*pg_prepared_xacts/,
    'no place for long');
like(health_of('workers'), qr/^ok\|/, 'and nobody is missing');
is(why('nobody'), 'at concurrency limit 1', 'explain_waiting says so');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'mail'});
like(health_of('limits'), qr/^ok\|2 queues are limited\|$/, 'the place is free');

sql(q{SELECT * FROM durable_work.claim('nobody', 'w')});
like(health_of('workers'), qr/^ok\|/, 'somebody has got it');

# --- a standby -------------------------------------------------------------------------------------
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('health_standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{SELECT severity, seen FROM durable_work.health() WHERE "check" = 'housekeeper'}),
    'unknown|not known: this server is a standby, the primary does the work', 'a standby says that it is one');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM durable_work.health() WHERE severity = 'critical'}), '0', 'and there is nothing critical about it');
$standby->promote;
ok(wait_until($standby, 'postgres', q{SELECT severity = 'ok' FROM durable_work.health() WHERE "check" = 'epoch'}), 'after promotion it works');
$standby->stop;
$node->stop;

done_testing();
