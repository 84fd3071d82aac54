# durable_work.start_paused: a copy of a database does nothing by itself until somebody says so, and
# what hands out jobs already goes on.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('paused');
$node->safe_psql('postgres', <<'SQL');
CREATE DATABASE shop;
\c shop
CREATE EXTENSION durable_work;
SELECT durable_work.create_queue('dead');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 1);
SELECT durable_work.create_queue('once', lease => '1 h', delivery => 'at_most_once', dead_letter_queue => 'dead');
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 20) i));
SELECT count(*) FROM durable_work.enqueue_many('once', array_fill('{}'::jsonb, '{10}'));
SELECT durable_work.reject(job_id, lease_token, 'poison') FROM durable_work.claim('q', 'w', 5);
SQL
add_helpers($node, 'shop');
$node->safe_psql('shop', q{SELECT count(*) FROM durable_work.claim('once', 'w', 10)});
# One job in a quarter of an hour, and one at once whenever a housekeeper begins with it.
$node->safe_psql('shop', q{SELECT durable_work.redrive('q', rate_per_second => 0.001)});
ok(wait_until($node, 'shop', q{SELECT moved = 1 FROM durable_work.redrives}), 'a redrive at a rate is under way');

sub set_paused {
    my ($value) = @_;
    $node->safe_psql('postgres', "ALTER SYSTEM SET durable_work.start_paused = $value");
    $node->reload;
    # New sessions have what the postmaster has.
    ok(wait_until($node, 'postgres', 'SHOW durable_work.start_paused', $value), "start_paused is $value");
    return;
}
set_paused('on');

# --- a clone beside the original -----------------------------------------------------------------
$node->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE shop');
housekeeper($node, 'clone');
my $states = q{SELECT string_agg(queue || ' ' || status || ' ' || n, ', ' ORDER BY queue, status) FROM (SELECT queue, status, count(*) AS n FROM durable_work.inbox GROUP BY 1, 2) s};
ok(wait_until($node, 'clone', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), 'the clone is loaded and counted');
my $at_first = $node->safe_psql('clone', $states);
is($at_first, 'once pending 10, q dead_letter 4, q pending 16', 'the clone stands where the original stood, without its leases');
is($node->safe_psql('clone', "SELECT count(*) FROM durable_work.claim(ARRAY['q', 'once', 'dead'], 'w', 100)"), '0', 'it hands out nothing');
is($node->safe_psql('clone', q{SELECT reason FROM durable_work.explain_waiting('q')}), 'start_paused', 'explain_waiting says why');
is($node->safe_psql('clone', q{SELECT next_action || ', ' || reason FROM durable_work.explain_job((SELECT max(id) FROM durable_work.inbox WHERE queue = 'q' AND status = 'pending'))}),
    'claim after start_paused is turned off, durable_work.start_paused holds the database back', 'so does explain_job');
like(slurp_file($node->logfile), qr/database starts paused/, 'and the log');
is($node->safe_psql('clone', q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "new"}')}), 't', 'enqueue works');
$node->safe_psql('clone', q{SELECT durable_work.enqueue('q', '{"n": "expires"}', expires_at => clock_timestamp() + interval '1 s')});
is($node->safe_psql('clone', q{SELECT durable_work.cancel(max(id)) FROM durable_work.inbox WHERE queue = 'q' AND status = 'pending' AND payload->>'n' = 'new'}), 't', 'so does cancel');

# The original goes on, also with another housekeeper.
kill 'TERM', housekeeper($node, 'shop');
is($node->safe_psql('shop', q{SELECT count(*) FROM helper.claim('q', 16)}), '16', 'the original was not touched');
# A database that gets the extension now is attached now.
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', q{CREATE EXTENSION durable_work; SELECT durable_work.create_queue('q'); SELECT durable_work.enqueue('q', '{}')});
is($node->safe_psql('fresh', q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', 'a new extension is paused from its first moment');

# --- a start of the server ---------------------------------------------------------------------------
$node->restart;
housekeeper($node, $_) for qw(clone shop);
ok(wait_until($node, 'clone', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), 'after a restart it is loaded again');
ok(wait_until($node, 'shop', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), 'and so is the original');
is($node->safe_psql('shop', q{SELECT count(*) FROM durable_work.claim('q', 'w')}), '0', 'which starts paused as well now');
# A kill of the housekeeper makes no difference.
my $before = housekeeper($node, 'clone');
kill 'TERM', $before;
ok(wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_work housekeeper' AND datname = 'clone' AND pid <> $before"), 'another housekeeper');
ok(wait_until($node, 'clone', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), 'which has counted');
ok(wait_until($node, 'clone', q{SELECT bool_and(expires_at < clock_timestamp()) FROM durable_work.inbox WHERE expires_at IS NOT NULL}), 'a job expires');
is($node->safe_psql('clone', $states), 'once pending 10, q cancelled 1, q dead_letter 4, q pending 17', 'nothing became a dead letter, nothing was redriven');
is($node->safe_psql('clone', q{SELECT string_agg(reason || ' ' || jobs, ', ') FROM durable_work.explain_waiting('q')}), 'start_paused 17', 'explain_waiting names the reason for all of them');
my $sleeper = new_session($node, 'clone')->send(q{CALL durable_work.wait_for_work('{q}', '60 s')});
ok(wait_until($node, 'postgres', "SELECT wait_event IN ('DurableWorkWait', 'Extension') FROM pg_stat_activity WHERE pid = " . $sleeper->pid), 'a worker sleeps');

# --- off -----------------------------------------------------------------------------------------------
set_paused('off');
is($sleeper->finish_sent, 'ok', 'a sleeping worker is woken');
is($node->safe_psql('clone', q{SELECT count(DISTINCT job_id) FROM helper.claim('q', 16)}), '16', 'the clone hands out its jobs');
ok(wait_until($node, 'clone', q{SELECT count(*) = 10 FROM durable_work.dead_letters WHERE queue = 'once'}), 'and ends what it had held back');
ok(wait_until($node, 'clone', q{SELECT reason = 'expired' FROM durable_work.dead_letters WHERE payload->>'n' = 'expires'}), 'what has expired too');
is($node->safe_psql('clone', q{SELECT count(DISTINCT job_id) FROM helper.claim('dead', 10)}), '10', 'with all that follows from it');
ok(wait_until($node, 'fresh', q{SELECT count(*) = 1 FROM durable_work.claim('q', 'w')}), 'the new one too');
$node->stop;
done_testing();
