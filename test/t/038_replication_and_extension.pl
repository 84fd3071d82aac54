# Logical replication of all tables to another server that has the extension, and the extension coming and going
# while jobs are in flight.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('publisher', init => { allows_streaming => 'logical' }, conf => ["durable_work.timer_horizon = '1s'"]);
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 100) i));
CREATE ROLE watcher;
SELECT durable_work.grant_queue('q', 'watcher', 'monitor');
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root = true);
SQL
my $other = new_server('subscriber', bare => 1, conf => ['durable_work.start_paused = on']);
$other->safe_psql('postgres', q{CREATE EXTENSION durable_work});
add_helpers($other, 'postgres');
my $connection = $node->connstr . ' dbname=postgres application_name=sub';
$other->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION everything");
ok(wait_until($other, 'postgres', q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}), 'the tables are copied');

# Whatever changes a row of any table, there and here.
$node->safe_psql('postgres', $_) for split /\n/, <<'SQL';
INSERT INTO helper.held SELECT * FROM helper.claim('q', 60)
SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n::int <= 20
SELECT durable_work.fail(job_id, token, '{"why": "now"}', retry_in => '0') FROM helper.held WHERE n::int BETWEEN 21 AND 30
SELECT durable_work.reject(job_id, token, 'poison') FROM helper.held WHERE n::int BETWEEN 31 AND 40
SELECT durable_work.enqueue('q', '{"n": "far"}', delay => '20 h', idempotency_key => 'far')
SELECT durable_work.reschedule(job_id, clock_timestamp() + interval '10 h') FROM (SELECT id AS job_id FROM durable_work.inbox WHERE payload->>'n' = 'far') f
SELECT durable_work.update_payload(job_id, '{"n": "farther"}') FROM (SELECT id AS job_id FROM durable_work.inbox WHERE payload->>'n' = 'far') f
BEGIN; SELECT durable_work.enqueue('q', '{"n": "replaced"}', idempotency_key => 'r', delay => '1 min', unique_while => 'pending', on_duplicate => 'replace'); SELECT durable_work.enqueue('q', '{"n": "replaces"}', idempotency_key => 'r', delay => '1 min', unique_while => 'pending', on_duplicate => 'replace'); COMMIT
SELECT durable_work.redrive('q', max_jobs => 3)
SELECT durable_work.redrive('q', max_jobs => 3, rate_per_second => 1000)
SELECT durable_work.discard_dead_letter(max(job_id), 'q') FROM durable_work.dead_letters
SELECT durable_work.mark_handled('mail', 'order 1')
SELECT durable_work.fence('file', 77)
SELECT durable_work.fence('file', 78)
SELECT durable_work.cancel(max(id)) FROM durable_work.inbox WHERE payload->>'n' = '90'
SELECT durable_work.alter_queue('q', lease => '2 h')
SELECT durable_work.create_queue('passing')
SELECT durable_work.enqueue('passing', '{}', idempotency_key => 'k')
SELECT durable_work.purge_queue('passing', forget_keys => true)
SELECT durable_work.drop_queue('passing', force => true)
SQL
ok(wait_until($node, 'postgres', q{SELECT state = 'done' FROM durable_work.redrives}), 'everything goes on at the publisher') or diag($node->safe_psql('postgres', 'SELECT * FROM durable_work.redrives'));
$node->wait_for_catchup('sub');
is($other->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_subscription_stats WHERE apply_error_count > 0}), '0', 'and is applied without an error');
my $jobs = q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT CASE status WHEN 'processing' THEN 'pending' ELSE status END AS status, count(*) AS n FROM durable_work.inbox GROUP BY 1) s};
$other->safe_psql('postgres', 'SELECT durable_work.reload()');
ok(wait_until($other, 'postgres', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), 'after a reload');
is($other->safe_psql('postgres', $jobs), $node->safe_psql('postgres', $jobs), 'the subscriber shows the same jobs');
is($other->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', 'and, starting paused, hands out none of them');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE durable_work.complete(job_id, token)) FROM (SELECT * FROM helper.held WHERE n::int > 40 OFFSET 0) h}), '20', 'the publisher does not notice');

# The subscriber takes over: the sequences are set, the log is read.
$node->wait_for_catchup('sub');
my $highest = $node->safe_psql('postgres', q{SELECT max(token) FROM helper.held});
my $left = $node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE status = 'pending' AND available_at <= clock_timestamp()});
$node->stop;
$other->safe_psql('postgres', 'ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub');
$other->safe_psql('postgres', <<'SQL');
SELECT setval('durable_work.job_id_seq', (SELECT max(id) FROM durable_work.inbox) + 64);
SELECT setval('durable_work.queue_id_seq', (SELECT max(id) FROM durable_work.queue));
SELECT setval('durable_work.topic_id_seq', (SELECT max(id) FROM durable_work.topic));
SELECT setval('durable_work.redrive_id_seq', (SELECT max(id) FROM durable_work.redrive_task));
SELECT durable_work.reload();
SQL
$other->append_conf('postgresql.conf', "durable_work.start_paused = off\n");
$other->reload;
is($other->safe_psql('postgres', "SELECT count(DISTINCT job_id), bool_and(lease_token > $highest) FROM helper.claim('q', $left)"), "$left|t", 'then it goes on, with higher tokens');
is($other->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 1000)}), '0', 'and hands out nothing that was finished');
is($other->safe_psql('postgres', q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "farther"}', idempotency_key => 'new')}), 't', 'and takes new jobs');
is($other->safe_psql('postgres', q{SELECT count(*) FROM (SELECT id FROM durable_work.inbox GROUP BY id HAVING count(*) > 1) twice}), '0', 'under numbers of their own');

# --- the extension comes and goes ---------------------------------------------------------------------
$node = $other;
is(state_of($node, 'postgres', 'CREATE EXTENSION durable_work'), '42710', 'there is one extension a database');
is(state_of($node, 'postgres', 'CREATE EXTENSION IF NOT EXISTS durable_work'), 'ok', 'asked politely, too');
is(state_of($node, 'postgres', 'CREATE EXTENSION durable_work SCHEMA public'), '42710', 'also in another schema');
my @many = map { "many_$_" } 1 .. 6;
$node->safe_psql('postgres', "CREATE DATABASE $_") for @many;
my @sessions = map { new_session($node, $_)->send(q{CREATE EXTENSION durable_work; SELECT durable_work.create_queue('q'); SELECT count(*) FROM durable_work.enqueue_many('q', array_fill('{}'::jsonb, '{20}'))}) } @many;
is(join(',', map { $_->finish_sent } @sessions), join(',', ('ok') x 6), 'it is created in six databases at once');
is(join(',', map { $node->safe_psql($_, q{SELECT count(*) FROM durable_work.claim('q', 'w', 15)}) } @many), join(',', (15) x 6), 'and each has its own jobs');
housekeeper($node, $_) for @many;

# DROP with leases, a sleeping worker, an open transaction.
my ($drop, $owned) = @many;
my $sleeper = new_session($node, $drop)->send(q{CALL durable_work.wait_for_work('{empty,q}', '60 s')});
is($sleeper->finish_sent, 'DW002', 'no such queue');
$node->safe_psql($drop, q{SELECT durable_work.create_queue('empty')});
$sleeper->send(q{CALL durable_work.wait_for_work('{empty}', '60 s')});
ok(wait_until($node, 'postgres', "SELECT wait_event IN ('DurableWorkWait', 'Extension') FROM pg_stat_activity WHERE pid = " . $sleeper->pid), 'a worker sleeps');
my $open = new_session($node, $drop);
$open->query(q{BEGIN; SELECT durable_work.enqueue('q', '{}')});
my $dropping = new_session($node, $drop)->send('DROP EXTENSION durable_work');
ok(wait_until($node, 'postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . $dropping->pid), 'a drop waits for open transactions');
$open->query('COMMIT');
is($dropping->finish_sent, 'ok', 'then it drops');
isnt($sleeper->finish_sent, 'lost', 'the sleeping worker is woken');
isnt(state_of($node, $drop, q{SELECT * FROM durable_work.claim('q', 'w')}), 'ok', 'there is nothing to claim from');
ok(wait_until($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '$drop' AND backend_type = 'durable_work housekeeper'"), 'and no housekeeper');
$node->safe_psql($drop, q{CREATE EXTENSION durable_work; SELECT durable_work.create_queue('q'); SELECT durable_work.enqueue('q', '{}')});
is($node->safe_psql($drop, q{SELECT count(*) FROM durable_work.claim('q', 'w', 100)}), '1', 'a new one has only its own jobs');

# A role that was granted something and owns a queue's producer goes.
$node->safe_psql($owned, <<'SQL');
CREATE ROLE producer;
SELECT durable_work.grant_queue('q', 'producer', 'enqueue');
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA durable_work TO producer;
SET ROLE producer;
INSERT INTO durable_work.inbox (queue, payload) VALUES ('q', '{}');
RESET ROLE;
DROP OWNED BY producer;
DROP ROLE producer;
SQL
is($node->safe_psql($owned, q{SELECT count(*) FROM durable_work.claim('q', 'w', 100)}), '6', 'DROP OWNED of a role with grants touches no job');
$node->safe_psql($owned, q{CREATE ROLE keeper SUPERUSER; ALTER TABLE durable_work.parked OWNER TO keeper});
is($node->safe_psql($owned, q{SET ROLE keeper; SELECT inserted FROM durable_work.enqueue('q', '{}', delay => '1 day')}), 't', 'a table may belong to another superuser');
isnt(state_of($node, $owned, 'DROP OWNED BY keeper'), 'ok', 'whose DROP OWNED does not tear a piece out of the extension');
is($node->safe_psql($owned, q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q'}), '22', 'everything is there');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no process died');
$node->stop;
done_testing();
