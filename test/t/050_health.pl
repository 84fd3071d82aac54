# health(): every check that a test can bring about is seen to warn, and to be content again.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('health', init => { allows_streaming => 1 },
    conf => [ 'durable_work.max_resident_jobs = 256', 'max_prepared_transactions = 5' ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

# health_of(CHECK): "severity|seen|advice"
sub health_of { return sql(qq{SELECT severity, seen, advice FROM durable_work.health() WHERE "check" = '$_[0]'}); }

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

sql(q{SELECT durable_work.create_queue('nobody'); SELECT durable_work.enqueue('nobody', '{}')});
like(health_of('workers'), qr/^ok\|/, 'a job that has just become due may wait');

sql(q{INSERT INTO durable_work.redrive_task (queue, to_queue, since, until, rate_per_second, matched, state, error, ended_at)
      SELECT id, id, '-infinity', 'infinity', 1, 1, 'failed', 'its queue does not exist', now() FROM durable_work.queue WHERE name = 'mail'});
like(health_of('redrives'), qr/^warning\|1 redrives have failed within a day, last number \d+: its queue does not exist\|/, 'a redrive has failed');
sql('DELETE FROM durable_work.redrive_task');
like(health_of('redrives'), qr/^ok\|no redrive is under way\|$/, 'it is put away');

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
sql(q{INSERT INTO durable_work.outcome_0 (first_id, body) VALUES (1, '\x00')});
# As if it had been due for ten minutes when the server starts.
sql(q{UPDATE durable_work.job_0 SET enqueued_at = enqueued_at - interval '10 min'
      WHERE topic = (SELECT topic FROM durable_work.queue WHERE name = 'nobody')});
$node->restart;
becomes('damage', 'critical', 'an outcome cannot be read');
like(health_of('damage'), qr/^critical\|1 rows of outcomes could not be read/, 'says how many');
like(health_of('settings'), qr/^ok\|/, 'the restart took the setting up');
like(health_of('memory'), qr/of 512 entries/, 'which is in use');

# --- nobody asks --------------------------------------------------------------------------------------
becomes('workers', 'warning', 'nobody asks for a job that is due');
like(health_of('workers'), qr/\|in "nobody" 1 are due, the oldest for 10 min: no worker has asked since the server started\|.*explain_waiting\('nobody'\)/, 'says which queue, and why');
sql(q{SELECT * FROM durable_work.claim('nobody', 'w')});
like(health_of('workers'), qr/^ok\|/, 'somebody does');

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
