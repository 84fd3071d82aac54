# Without shared_preload_libraries nothing half works: one clear error names the line to add.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = PostgreSQL::Test::Cluster->new('plain');
$node->init;
$node->start;

my ($status, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION durable_work');
is($status, 0, 'CREATE EXTENSION works when the library is not preloaded');
like($err, qr/WARNING/, 'but it warns');
like($err, qr/shared_preload_libraries/, 'and the warning names the setting');

my %calls = (
    create_queue => q{SELECT durable_work.create_queue('q')},
    alter_queue => q{SELECT durable_work.alter_queue('q', lease => '5 s')},
    drop_queue => q{SELECT durable_work.drop_queue('q')},
    pause_queue => q{SELECT durable_work.pause_queue('q')},
    resume_queue => q{SELECT durable_work.resume_queue('q')},
    set_concurrency_limit => q{SELECT durable_work.set_concurrency_limit('q', 1)},
    set_rate_limit => q{SELECT durable_work.set_rate_limit('q', 1)},
    resize_buckets => q{SELECT durable_work.resize_buckets('q', 10)},
    register_worker => q{SELECT durable_work.register_worker('w', '{q}')},
    deregister_worker => q{SELECT durable_work.deregister_worker('w')},
    drain_worker => q{SELECT durable_work.drain_worker('w')},
    ring_owner => q{SELECT durable_work.ring_owner('q', 'k')},
    owned_buckets => q{SELECT durable_work.owned_buckets('q', 'w')},
    grant_queue => q{SELECT durable_work.grant_queue('q', current_user, 'work')},
    revoke_queue => q{SELECT durable_work.revoke_queue('q', current_user)},
    key_status => q{SELECT durable_work.key_status('q', 'k')},
    blocked_keys => q{SELECT durable_work.blocked_keys('q')},
    unblock_key => q{SELECT durable_work.unblock_key('q', 'k')},
    set_key_weight => q{SELECT durable_work.set_key_weight('q', 'k', 2)},
    enqueue => q{SELECT durable_work.enqueue('q', '{}')},
    enqueue_many => q{SELECT durable_work.enqueue_many('q', '{"{}"}')},
    cancel => q{SELECT durable_work.cancel(1)},
    cancel_many => q{SELECT durable_work.cancel_many('q', older_than => '0')},
    purge_queue => q{SELECT durable_work.purge_queue('q')},
    reschedule => q{SELECT durable_work.reschedule(1, now())},
    reschedule_many => q{SELECT durable_work.reschedule_many('q', now())},
    retry_now_many => q{SELECT durable_work.retry_now_many('q')},
    update_payload => q{SELECT durable_work.update_payload(1, '1')},
    claim => q{SELECT durable_work.claim('q', 'w'); SELECT durable_work.claim(ARRAY['q'], 'w')},
    complete => q{SELECT durable_work.complete(1, 1)},
    try_complete => q{SELECT durable_work.try_complete(1, 1)},
    complete_many => q{SELECT durable_work.complete_many('{1}', '{1}')},
    complete_and_claim => q{SELECT durable_work.complete_and_claim('{1}', '{1}', 'q', 'w'); SELECT durable_work.complete_and_claim('{1}', '{1}', ARRAY['q'], 'w')},
    fail => q{SELECT durable_work.fail(1, 1)},
    fail_many => q{SELECT durable_work.fail_many('{1}', '{1}')},
    release => q{SELECT durable_work.release(1, 1)},
    defer => q{SELECT durable_work.defer(1, 1, now())},
    reject => q{SELECT durable_work.reject(1, 1, 'no')},
    extend_lease => q{SELECT durable_work.extend_lease(1, 1)},
    set_progress => q{SELECT durable_work.set_progress(1, 1, '{}')},
    heartbeat => q{SELECT durable_work.heartbeat('w')},
    wait_for_work => q{CALL durable_work.wait_for_work('{q}', '1 s')},
    wait_for_job => q{CALL durable_work.wait_for_job(1, '1 s')},
    mark_handled => q{SELECT durable_work.mark_handled('h', 'k')},
    fence => q{SELECT durable_work.fence('r', 1)},
    explain_job => q{SELECT durable_work.explain_job(1)},
    history => q{SELECT durable_work.history(1)},
    explain_waiting => q{SELECT durable_work.explain_waiting('q')},
    hot_keys => q{SELECT durable_work.hot_keys('q')},
    redrive => q{SELECT durable_work.redrive('q')},
    reload => q{SELECT durable_work.reload()},
    discard_dead_letter => q{SELECT durable_work.discard_dead_letter(1, 'q')},
);
for my $name (sort keys %calls) {
    for my $sql (split /; /, $calls{$name}) {
        is(state_of($node, 'postgres', $sql), 'DW007', "$sql raises DW007");
        like(message_of($node, 'postgres', $sql), qr/shared_preload_libraries = '[^']*durable_work/, "$name names the line to add");
    }
}
is(state_of($node, 'postgres', q{INSERT INTO durable_work.inbox (queue, payload) VALUES ('q', '{}')}),
    'DW007', 'an insert into the inbox raises DW007 too');

# bucket(), shard_key() and the trials of rings compute from their arguments alone; the rest serves the views.
my $others = join ', ', map { "'$_'" } qw(bucket shard_key may inbox_insert job_state live_leases outcome_members attach_database library_version rows_arrived log_slots queue_figures limit_figures wake_figures worker_figures health ring_simulate ring_moved);
is($node->safe_psql('postgres', <<"SQL"), join(',', sort keys %calls), 'no public function was forgotten above');
SELECT string_agg(name, ',' ORDER BY name COLLATE "C")
FROM (SELECT DISTINCT proname::text AS name FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace) AS function
WHERE name <> ALL (ARRAY[$others])
SQL
is($node->safe_psql('postgres', q{SELECT "check", severity, advice ~ 'shared_preload_libraries = ''durable_work''' FROM durable_work.health() LIMIT 1}),
    'preloaded|critical|t', 'health() works all the same, and names the line to add');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE severity = 'critical'), bool_or(severity = 'unknown') FROM durable_work.health()}),
    '1|t', 'and says what it cannot know');
is($node->safe_psql('postgres', q{SELECT durable_work.bucket('a') BETWEEN 0 AND 359}), 't', 'bucket() needs no preloading');
is($node->safe_psql('postgres', q{SELECT durable_work.shard_key('a', 'b', 1)}), 'a#0', 'nor does shard_key()');

is(state_of($node, 'postgres', 'DROP EXTENSION durable_work'), 'ok', 'the extension can be dropped');
$node->safe_psql('postgres', 'CREATE EXTENSION durable_work');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'durable_work'");
$node->restart;
add_helpers($node, 'postgres');
$node->safe_psql('postgres', q{SELECT durable_work.create_queue('q'); SELECT durable_work.enqueue('q', '{"n": 1}')});
is($node->safe_psql('postgres', q{SELECT n FROM helper.claim('q', 1)}), '1',
    'after the line was added everything works, without creating the extension again');
$node->stop;

done_testing();
