# What must cost nothing costs nothing: claims, heartbeats and extensions assign no transaction id
# and write no WAL, also those of registered workers and of queues with every limit there is, also with
# data checksums, also right after a checkpoint or a restart; and the log tables never hold a dead row,
# also while an old snapshot is held.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

# Nothing but us shall write: no autovacuum, no background writer, no standby snapshots.
my @quiet = ('autovacuum = off', 'bgwriter_lru_maxpages = 0', 'checkpoint_timeout = 1h', 'wal_level = minimal',
    'max_wal_senders = 0', 'synchronous_commit = off', 'wal_writer_delay = 10s');

for my $summed (0, 1) {
    my $what = $summed ? 'with checksums' : 'without checksums';
    # From 18 on they are the default.
    my $node = new_server(
        $summed ? 'summed' : 'plain',
        init => $summed ? { extra => ['--data-checksums'] } : { no_data_checksums => 1 },
        conf => \@quiet);
    my $session = new_session($node);
    is($session->query('SHOW data_checksums'), $summed ? 'on' : 'off', "$what: as wanted");
    $session->query(<<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h')
;
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 5000) i))
;
SELECT durable_work.create_queue('limited', lease => '1 h'),
    durable_work.set_concurrency_limit('limited', 100000), durable_work.set_rate_limit('limited', 1000000, '1 s'),
    durable_work.set_concurrency_limit('limited', 100000, scope => 'key'), durable_work.set_rate_limit('limited', 1000000, '1 s', scope => 'key'),
    durable_work.set_concurrency_limit('limited', 100000, 'group', 'g'), durable_work.set_rate_limit('limited', 1000000, '1 s', NULL, 'group', 'g')
;
SELECT count(*) FROM durable_work.enqueue_many('limited', array_fill('{}'::jsonb, '{5000}'),
    (SELECT array_agg('key ' || i % 50) FROM generate_series(1, 5000) i))
SQL
    my $instance = $session->query(q{SELECT durable_work.register_worker('member', '{q,limited}')});
    my $tokens = sub { $session->query('SELECT pg_current_wal_insert_lsn()') };

    for my $time ('at first', 'after a checkpoint', 'after a restart') {
        if ($time eq 'after a restart') {
            $session->quit;
            $node->restart;
            $session = new_session($node);
            # The housekeeper has raised the epoch and read the log once that many are handed out.
            $session->query(q{SELECT count(*) FROM helper.claim('q', 2000)});
            $session->query(q{SELECT count(*) FROM helper.claim('limited', 2000)});
            $node->poll_query_until('postgres', q{SELECT state = 'alive' FROM durable_work.workers}) or die 'the worker is not known';
        }
        $session->query('CHECKPOINT');
        # A first round fills this process's caches and prunes what catalog pages had to be pruned.
        my $round = q{
            SELECT count(*) FROM durable_work.claim('q', 'w', 10);
            SELECT count(*) FROM (SELECT durable_work.extend_lease(job_id, lease_token, '2 h') FROM durable_work.claim('q', 'w', 10) OFFSET 0) e;
            SELECT count(*) FROM durable_work.heartbeat('w');
            SELECT count(*) FROM durable_work.claim('limited', 'w', 10);
            SELECT count(*) FROM durable_work.claim('limited', 'member', 5, owned_only => true, instance => INSTANCE);
            SELECT count(*) FROM durable_work.heartbeat('member', instance => INSTANCE)} =~ s/INSTANCE/$instance/gr;
        $session->query($round);
        $session->query('CHECKPOINT') if $time eq 'after a checkpoint';

        # Anything else that wrote in between would show in one run, so the least of a few counts.
        my $least;
        for my $attempt (1 .. 5) {
            my $before = $tokens->();
            $session->query($round) for 1 .. 10;
            my $written = $session->query(qq{SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')});
            $least = $written if !defined $least || $written < $least;
            last if $least == 0;
        }
        is($least, '0', "$what, $time: claims, extensions and heartbeats write no WAL");
        is($session->query(<<"SQL"), "1\n3\n4\n2\n1\nt", "$what, $time: and assign no transaction id");
BEGIN
;
SELECT count(*) FROM durable_work.claim('q', 'x', 1);
SELECT count(*) FROM durable_work.claim('limited', 'x', 3);
SELECT count(*) FROM durable_work.claim('limited', 'member', 4, owned_only => true, instance => $instance);
SELECT 2 FROM (SELECT durable_work.extend_lease(job_id, lease_token) FROM durable_work.leases WHERE worker = 'x' LIMIT 1) e;
SELECT least(count(*), 1) FROM durable_work.heartbeat('x');
SELECT pg_current_xact_id_if_assigned() IS NULL
SQL
        $session->query('COMMIT');
        my $before = $tokens->();
        $session->query(q{SELECT durable_work.enqueue('q', '{"n": "more"}')});
        isnt($session->query('SELECT pg_current_wal_insert_lsn()'), $before, "$what, $time: an enqueue does, so this test can see it");
    }

    # --- dead rows --------------------------------------------------------------------------------
    $session->query(q{SELECT durable_work.create_queue('busy', lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0)});
    my $holder = new_session($node);
    $holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    $holder->query('SELECT count(*) FROM durable_work.inbox');
    is($session->query(<<'SQL'), '2000', "$what: jobs go through every path under a held snapshot");
CREATE PROCEDURE helper.work() LANGUAGE plpgsql AS $$
DECLARE
    mine record;
BEGIN
    FOR i IN 1 .. 200 LOOP
        PERFORM durable_work.enqueue('busy', jsonb_build_object('n', i)) FROM generate_series(1, 5);
        PERFORM FROM durable_work.enqueue_many('busy', ARRAY(SELECT jsonb_build_object('n', i) FROM generate_series(1, 5)));
        COMMIT;
        TRUNCATE helper.held;
        INSERT INTO helper.held SELECT job_id, lease_token, payload->>'n', attempt FROM durable_work.claim('busy', 'w', 3);
        COMMIT;
        PERFORM durable_work.fail(job_id, token, '{}', retry_in => '0') FROM helper.held;
        COMMIT;
        TRUNCATE helper.held;
        INSERT INTO helper.held SELECT * FROM helper.claim('busy', 10);
        COMMIT;
        PERFORM durable_work.complete(job_id, token) FROM helper.held LIMIT 2;
        PERFORM FROM durable_work.complete_many((SELECT array_agg(job_id) FROM (SELECT job_id FROM helper.held OFFSET 2) o),
                                                (SELECT array_agg(token) FROM (SELECT token FROM helper.held OFFSET 2) o));
        COMMIT;
    END LOOP;
END
$$
;
CALL helper.work()
;
SELECT count(*) FROM durable_work.inbox WHERE queue = 'busy' AND status = 'completed'
SQL
    my $logs = q{SELECT relid::regclass FROM pg_stat_all_tables WHERE schemaname = 'durable_work' AND relname ~ '^(job|outcome)_[0-7]$'};
    is($session->query("SELECT count(*) FROM ($logs) l"), '16', "$what: sixteen log tables");
    # 15 has no way to wait for the statistics but to look again.
    ok(wait_until($node, 'postgres', "SELECT sum(n_tup_ins) > 4000 FROM pg_stat_all_tables WHERE relid IN (SELECT l.relid FROM ($logs) l)"),
        "$what: the statistics know the rows");
    is($session->query("SELECT sum(n_tup_upd + n_tup_del + n_dead_tup) FROM pg_stat_all_tables WHERE relid IN (SELECT l.relid FROM ($logs) l)"),
        '0', "$what: no row of the log was updated, deleted, or is dead");
    SKIP: {
        skip 'pgstattuple is not installed', 1 if state_of($node, 'postgres', 'CREATE EXTENSION pgstattuple') ne 'ok';
        is($session->query("SELECT sum(t.dead_tuple_count) FROM ($logs) l, pgstattuple(l.relid) t"), '0', "$what: nor does a look at the pages find one");
    }
    is($holder->query('SELECT count(*) > 0 FROM durable_work.inbox'), 't', "$what: the old snapshot was held all the time");
    $holder->query('COMMIT');
    $_->quit for $holder, $session;
    $node->stop;
}

done_testing();
