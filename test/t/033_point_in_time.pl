# Copies of the whole server: a base backup brought to a point in the past, a standby that is promoted after it missed the
# last seconds, and copies that start paused.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $counted = q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'q'};
my $full_count = q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q' AND status IN ('pending', 'processing')};

my $old = new_server('old', init => { allows_streaming => 1, has_archiving => 1 });
$old->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', 'before ' || i)) FROM generate_series(1, 300) i));
INSERT INTO helper.held SELECT * FROM helper.claim('q', 100);
SQL
$old->backup('base');
$old->safe_psql('postgres', <<'SQL');
SELECT count(*) FROM (SELECT durable_work.complete(job_id, token) FROM helper.held WHERE split_part(n, ' ', 2)::int <= 40) c;
SELECT durable_work.fail(job_id, token, retry_in => '0') FROM helper.held WHERE n = 'before 41';
SELECT durable_work.reject(job_id, token, 'poison') FROM helper.held WHERE n = 'before 42';
SELECT durable_work.enqueue('q', '{"n": "kept"}', idempotency_key => 'kept');
SELECT pg_create_restore_point('here');
SQL
# What comes after the point is to be undone.
$old->safe_psql('postgres', <<'SQL');
SELECT count(*) FROM (SELECT durable_work.complete(job_id, token) FROM helper.held WHERE split_part(n, ' ', 2)::int > 42) c;
SELECT durable_work.enqueue('q', '{"n": "undone"}', idempotency_key => 'undone');
INSERT INTO helper.held SELECT * FROM helper.claim('q', 50);
SELECT pg_switch_wal();
SQL
my $last_log = $old->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_lsn() - 1)');
ok(wait_until($old, 'postgres', "SELECT last_archived_wal >= '$last_log' OR last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 16777217) FROM pg_stat_archiver"), 'the log is archived');
my $highest_old = $old->safe_psql('postgres', 'SELECT max(token) FROM helper.held');

# --- to a point ---------------------------------------------------------------------------------
my $past = PostgreSQL::Test::Cluster->new('past');
$past->init_from_backup($old, 'base', has_restoring => 1, standby => 0);
$past->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = 'promote'\ndurable_work.start_paused = on\n");
$past->start;
ok(wait_until($past, 'postgres', 'SELECT NOT pg_is_in_recovery()'), 'the server has come to the point');
housekeeper($past, 'postgres');
my $due = 300 - 40 - 1 + 1;
ok(wait_until($past, 'postgres', "SELECT ($counted) = $due AND ($full_count) = $due"), 'it counts what was unfinished then');
ok(wait_until($past, 'postgres', q{SELECT ready > 0 FROM durable_work.queue_stats WHERE queue = 'q'}), 'and has it in memory');
is($past->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', 'but as it starts paused it hands out nothing');
is($past->safe_psql('postgres', q{SELECT reason || ' ' || jobs FROM durable_work.explain_waiting('q')}), "start_paused $due", 'explain_waiting says so');
my $waiting = new_session($past)->send(q{CALL durable_work.wait_for_work('{q}', '60 s')});
ok(wait_until($past, 'postgres', "SELECT wait_event IN ('DurableWorkWait', 'Extension') FROM pg_stat_activity WHERE pid = " . $waiting->pid), 'a worker sleeps beside the jobs');
$past->append_conf('postgresql.conf', "durable_work.start_paused = off\n");
$past->reload;
is($waiting->finish_sent, 'ok', 'when the setting is off it is woken');
is($past->safe_psql('postgres', <<"SQL"), "$due|$due|t|2", 'and everything is handed out once, with higher tokens');
CREATE TABLE helper.taken AS SELECT * FROM helper.claim('q', $due);
SELECT count(*), count(DISTINCT job_id), bool_and(lease_token > $highest_old), max(attempt) FROM helper.taken;
SQL
is($past->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', 'and nothing more');
is($past->safe_psql('postgres', q{SELECT count(*) FROM helper.taken WHERE n = 'kept'}), '1', 'what was enqueued before the point is there');
is($past->safe_psql('postgres', q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "kept"}', idempotency_key => 'kept')}), 'f', 'with its key');
is($past->safe_psql('postgres', q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "undone"}', idempotency_key => 'undone')}), 't', 'what came later is not, nor is its key');
is($past->safe_psql('postgres', q{SELECT string_agg(DISTINCT durable_work.try_complete(job_id, token), ',') FROM helper.held WHERE split_part(n, ' ', 2)::int > 42}), 'stale',
    'tokens of the original are refused, also by what it had completed after the point');
is($past->safe_psql('postgres', q{SELECT count(*) FROM helper.taken WHERE durable_work.complete(job_id, lease_token)}), $due, 'the new ones are not');
is($past->safe_psql('postgres', $counted), $past->safe_psql('postgres', $full_count), 'and the counters are right');
is($past->safe_psql('postgres', q{SELECT count(*) FROM (SELECT id FROM durable_work.inbox GROUP BY id HAVING count(*) > 1) twice}), '0', 'no job has the number of another');
$past->stop;

# --- an asynchronous standby that misses the end ----------------------------------------------------
$old->append_conf('postgresql.conf', 'synchronous_standby_names = \'\'');
my $new = PostgreSQL::Test::Cluster->new('new');
$old->backup('again');
$new->init_from_backup($old, 'again', has_streaming => 1);
$new->start;
$old->safe_psql('postgres', q{SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', 'arrived ' || i)) FROM generate_series(1, 100) i))});
$old->safe_psql('postgres', q{CREATE TABLE helper.seen AS SELECT * FROM helper.claim('q', 60)});
$old->wait_for_catchup($new);
# From here on nothing arrives any more: the line is cut.
$new->append_conf('postgresql.conf', "primary_conninfo = ''");
$new->reload;
ok(wait_until($new, 'postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver'), 'the standby is cut off');
my @lost = split /\|/, $old->safe_psql('postgres', <<'SQL');
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', 'lost ' || i)) FROM generate_series(1, 100) i)) \g /dev/null
SELECT count(*) FROM (SELECT durable_work.complete(job_id, lease_token) FROM helper.seen) c \g /dev/null
CREATE TABLE helper.later AS SELECT * FROM helper.claim('q', 200);
SELECT max(lease_token), count(*) FROM helper.later;
SQL
# Restarts raise the epoch there, and the standby does not hear of it.
$old->restart for 1 .. 3;
my $highest_lost = $old->safe_psql('postgres', q{SELECT max(lease_token) FROM helper.claim('q', 100)});
cmp_ok($highest_lost, '>', $lost[0], 'the old primary gave tokens that the standby never heard of');
$old->stop('immediate');
$new->promote;
housekeeper($new, 'postgres');
my $left = $new->safe_psql('postgres', $full_count);
ok(wait_until($new, 'postgres', "SELECT ($counted) = $left"), 'the new primary counts what had arrived');
is($new->safe_psql('postgres', <<"SQL"), "$left|$left|t", 'all of which is handed out once, with tokens above every one of the old primary');
CREATE TABLE helper.taken AS SELECT * FROM helper.claim('q', $left);
SELECT count(*), count(DISTINCT job_id), bool_and(lease_token > $highest_lost) FROM helper.taken;
SQL
is($new->safe_psql('postgres', q{SELECT count(*) FROM helper.taken WHERE n LIKE 'arrived%'}), '100', 'also those whose completion was lost');
is($new->safe_psql('postgres', q{SELECT count(*) FROM helper.taken WHERE n LIKE 'lost%'}), '0', 'what had not arrived is lost');
is($new->safe_psql('postgres', q{SELECT string_agg(DISTINCT durable_work.try_complete(job_id, lease_token), ',') FROM helper.seen}), 'stale', 'tokens of the old primary are refused');
is($new->safe_psql('postgres', "SELECT durable_work.try_complete(job_id, $lost[0]) FROM helper.taken LIMIT 1"), 'stale', 'those it never heard of as well');
is($new->safe_psql('postgres', q{SELECT count(*) FROM helper.taken WHERE durable_work.complete(job_id, lease_token)}), $left, 'work goes on');
is($new->safe_psql('postgres', q{SELECT count(*) FROM (SELECT id FROM durable_work.inbox GROUP BY id HAVING count(*) > 1) twice}), '0', 'no job has the number of another');
$new->stop;
done_testing();
