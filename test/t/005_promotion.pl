# A standby is promoted while the old primary still runs: its tokens are refused on the new one, the
# new ones are higher than any of the old ones, and the jobs go on.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $old = new_server('old', init => { allows_streaming => 1 }, conf => ["wal_receiver_status_interval = '1s'"]);
$old->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', 'early ' || i)) FROM generate_series(1, 100) i));
SQL
$old->backup('copy');
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init_from_backup($old, 'copy', has_streaming => 1);
$new->start;

$old->safe_psql('postgres', <<'SQL');
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', 'late ' || i)) FROM generate_series(1, 100) i));
SELECT durable_work.enqueue('q', '{"n": "delayed"}', delay => '1 h', idempotency_key => 'key');
INSERT INTO helper.held SELECT * FROM helper.claim('q', 120);
SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n LIKE 'early%' AND n <> 'early 1';
SELECT durable_work.fail(job_id, token, retry_in => '0') FROM helper.held WHERE n = 'late 1';
SELECT durable_work.reject(job_id, token, 'poison') FROM helper.held WHERE n = 'late 2';
SQL
$old->wait_for_catchup($new);

# --- the standby reads ----------------------------------------------------------------------------
is($new->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox}), '201', 'inbox is readable on a standby');
is($new->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE status = 'completed'}), '99', 'it knows what is completed');
is($new->safe_psql('postgres', q{SELECT queue || ' ' || lease FROM durable_work.queues WHERE queue = 'q'}), 'q 01:00:00', 'queues');
is($new->safe_psql('postgres', q{SELECT payload->>'n' FROM durable_work.dead_letters}), 'late 2', 'dead_letters');
is(state_of($new, 'postgres', 'SELECT * FROM durable_work.leases'), 'ok', 'leases');
is($new->safe_psql('postgres', q{SELECT count(*) > 0 FROM durable_work.attempts}), 't', 'attempts');
is(state_of($new, 'postgres', q{SELECT * FROM durable_work.history((SELECT job_id FROM helper.held WHERE n = 'late 2'))}), 'ok', 'history');
is(state_of($new, 'postgres', q{SELECT * FROM durable_work.explain_job((SELECT job_id FROM helper.held WHERE n = 'late 1'))}), 'ok', 'explain_job');

my @refused = (
    q{SELECT durable_work.create_queue('r')}, q{SELECT durable_work.alter_queue('q', lease => '2 h')},
    q{SELECT durable_work.drop_queue('q')}, q{SELECT durable_work.pause_queue('q')}, q{SELECT durable_work.resume_queue('q')},
    q{SELECT durable_work.enqueue('q', '{}')}, q{SELECT durable_work.enqueue_many('q', '{"{}"}')},
    q{INSERT INTO durable_work.inbox (queue, payload) VALUES ('q', '{}')}, q{SELECT durable_work.cancel(1)},
    q{SELECT durable_work.claim('q', 'w')}, q{SELECT durable_work.claim(ARRAY['q'], 'w')},
    q{SELECT durable_work.complete(1, 1)}, q{SELECT durable_work.try_complete(1, 1)},
    q{SELECT durable_work.complete_many('{1}', '{1}')}, q{SELECT durable_work.fail(1, 1)},
    q{SELECT durable_work.complete_and_claim('{1}', '{1}', 'q', 'w')}, q{SELECT durable_work.complete_and_claim('{1}', '{1}', ARRAY['q'], 'w')},
    q{SELECT durable_work.fail_many('{1}', '{1}')}, q{SELECT durable_work.release(1, 1)},
    q{SELECT durable_work.defer(1, 1, now())}, q{SELECT durable_work.reject(1, 1, 'no')},
    q{SELECT durable_work.extend_lease(1, 1)}, q{SELECT durable_work.heartbeat('w')},
    q{SELECT durable_work.set_progress(1, 1, '{}')}, q{CALL durable_work.wait_for_job(1, '1 s')}, q{CALL durable_work.wait_for_work('{q}', '1 s')}, q{SELECT durable_work.mark_handled('h', 'k')},
    q{SELECT durable_work.fence('r', 1)},
);
is(state_of($new, 'postgres', $_), '25006', "refused on a standby: $_") for @refused;
is($new->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^durable_work.*housekeeper'"), '0',
    'no housekeeper runs on a standby');

# --- promotion ------------------------------------------------------------------------------------
my $epoch = $old->safe_psql('postgres', 'SELECT max(value) FROM durable_work.epoch');
$new->promote;
housekeeper($new, 'postgres');
ok(wait_until($new, 'postgres', "SELECT max(value) >= $epoch + 65536 FROM durable_work.epoch"), 'the epoch rises by 65,536 or more');

# Both places count their jobs: the old one as commits went, the new one in the log.
wait_until($new, 'postgres', q{SELECT unfinished IS NOT NULL FROM durable_work.queue_stats WHERE queue = 'q'});
my $unfinished = q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'q'};
is($new->safe_psql('postgres', $unfinished), $new->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q' AND status IN ('pending', 'processing')}),
    'unfinished jobs are counted anew');

# The old primary does not know yet: it is restarted even, and goes on giving tokens.
$old->restart;
my $highest_old = $old->safe_psql('postgres', q{SELECT max(lease_token) FROM helper.claim('q', 20)});

is(state_of($new, 'postgres', q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = 'late 3'}), 'DW001', 'a token of the old primary is refused');
is($new->safe_psql('postgres', q{SELECT durable_work.try_complete(job_id, token) FROM helper.held WHERE n = 'late 4'}), 'stale', 'try_complete says stale');
is($new->safe_psql('postgres', q{SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n = 'early 5'}), 'f',
    'what the old primary completed is known to be completed by that token');

my $due = 200 - 99 - 1;     # all, without the completed ones and the dead letter
is($new->safe_psql('postgres', <<"SQL"), "$due|$due|t|2", 'what was not finished is handed out, once, with higher tokens; the failed attempt counts');
CREATE TABLE helper.again AS SELECT * FROM helper.claim('q', $due);
SELECT count(*), count(DISTINCT job_id), bool_and(lease_token > $highest_old), max(attempt) FROM helper.again;
SQL
is($new->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', 'and nothing more');
is($new->safe_psql('postgres', q{SELECT count(*) FROM helper.again a JOIN helper.held h USING (job_id) WHERE h.n LIKE 'early%' AND h.n <> 'early 1'}),
    '0', 'no finished job is handed out');
is($new->safe_psql('postgres', q{SELECT count(*) FROM helper.again WHERE durable_work.complete(job_id, lease_token)}), $due, 'they can be completed');
is($new->safe_psql('postgres', q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "delayed"}', idempotency_key => 'key')}), 'f', 'idempotency keys came along');
is($new->safe_psql('postgres', q{SELECT payload->>'n' FROM durable_work.inbox WHERE status = 'pending'}), 'delayed', 'the delayed job came along');
$new->safe_psql('postgres', q{SELECT durable_work.enqueue('q', '{"n": "new life"}')});
is($new->safe_psql('postgres', q{SELECT n FROM helper.claim('q', 1)}), 'new life', 'new jobs are taken in and handed out');

$new->stop;
$old->stop;
done_testing();
