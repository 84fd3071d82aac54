# What a job carries stays where it was put: payloads, headers, results, errors, progress, reasons do not get into what the
# extension writes to the server's log, however talkative that is, into the error messages of others, the activity view,
# statement statistics, or plans, and nobody without the right to read gets at them through a view.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('secrets', conf => [
    'durable_work.max_resident_jobs = 64', "durable_work.timer_horizon = '1s'", "durable_work.segment_max_age = '1s'",
    'log_min_messages = debug1', 'log_error_verbosity = verbose', 'log_min_error_statement = debug5', 'log_statement = all', 'log_min_duration_statement = 0',
    'log_parameter_max_length = -1', 'log_lock_waits = on', 'debug_print_plan = off', 'max_prepared_transactions = 4' ]);
my $statistics = -e `pg_config --pkglibdir` =~ s/\s+$//r . '/pg_stat_statements.so';
if ($statistics) {
    $node->append_conf('postgresql.conf', "shared_preload_libraries = 'durable_work,pg_stat_statements'\npg_stat_statements.track = all\npg_stat_statements.track_utility = on");
    $node->restart;
    $node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');
}
# Statements are logged with what stands in them, as the server is told; so what is secret stands in a table.
my $put = <<'SQL';
CREATE SCHEMA hidden;
CREATE TABLE hidden.secret (kind text PRIMARY KEY, value jsonb);
CREATE FUNCTION hidden.of(kind text) RETURNS jsonb LANGUAGE sql STABLE AS 'SELECT value FROM hidden.secret s WHERE s.kind = $1';
CREATE ROLE owner_of_none;
CREATE ROLE watcher;
CREATE ROLE neighbour;
CREATE ROLE worker;
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0, max_payload => '1 kB');
SELECT durable_work.create_queue('ordered', ordering => 'key', on_exhausted => 'hold', max_attempts => 1);
SELECT durable_work.create_queue('neighbours');
SELECT durable_work.grant_queue('q', 'watcher', 'monitor'), durable_work.grant_queue('ordered', 'watcher', 'monitor'), durable_work.grant_queue('neighbours', 'neighbour', r),
       durable_work.grant_queue('q', 'worker', 'work'), durable_work.grant_queue('q', 'worker', 'enqueue'), durable_work.grant_queue('q', 'worker', 'operate') FROM unnest('{enqueue,work,operate,monitor}'::text[]) r;
GRANT USAGE ON SCHEMA hidden TO PUBLIC;
GRANT SELECT ON hidden.secret TO worker;
SQL
$node->safe_psql('postgres', $put);
# The values come in by COPY: no statement has them.
$node->safe_psql('postgres', "COPY hidden.secret FROM STDIN;\n" . join('', map { "$_\t{\"n\": \"TOPSECRET $_\"}\n" } qw(payload header result error progress other)) . "large\t{\"n\": \"TOPSECRET large " . 'x' x 3000 . "\"}\n\\.\n");
my $log = -s $node->logfile;

my $n = 0;
sub fails {
    my ($state, $sql, $role) = @_;
    my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE " . ($role // 'postgres') . ";\n$sql");
    like($err, qr/ERROR:  $state/, "$state: " . substr($sql, 0, 70));
    unlike("$out$err", qr/TOPSECRET/, 'without what is secret');
    return;
}
# Everything that takes or moves what is secret, and what is refused on the way.
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.enqueue('q', hidden.of('payload'), headers => hidden.of('header'), idempotency_key => 'k');
SELECT count(*) FROM durable_work.enqueue_many('q', ARRAY(SELECT hidden.of('payload') FROM generate_series(1, 200)));
INSERT INTO durable_work.inbox (queue, payload, headers) VALUES ('q', hidden.of('payload'), hidden.of('header'));
SELECT count(durable_work.enqueue('q', hidden.of('payload'), delay => '1 h')) FROM generate_series(1, 3);
SELECT durable_work.enqueue('ordered', hidden.of('payload'), partition_key => 'k'), durable_work.enqueue('ordered', hidden.of('payload'), partition_key => 'k');
SQL
fails('DW004', q{SELECT durable_work.enqueue('q', hidden.of('other'), idempotency_key => 'k')});
fails('DW004', q{SELECT durable_work.enqueue_many('q', ARRAY[hidden.of('other')], idempotency_keys => '{k}')});
fails('23505', q{SELECT durable_work.enqueue('q', hidden.of('payload'), idempotency_key => 'k', on_duplicate => 'error')});
fails('\w{5}', q{SELECT durable_work.enqueue('q', hidden.of('large'))});
fails('\w{5}', q{INSERT INTO durable_work.inbox (queue, payload) VALUES ('q', hidden.of('large'))});
fails('22023', q{SELECT durable_work.enqueue('q', '1', headers => to_jsonb(hidden.of('header')->>'n'))});
fails('DW002', q{SELECT durable_work.enqueue('none', hidden.of('payload'))});
fails('DW001', q{SELECT durable_work.complete(1, 1, hidden.of('result'))});
fails('DW001', q{SELECT durable_work.fail(1, 1, hidden.of('error'))});
fails('DW001', q{SELECT durable_work.set_progress(1, 1, hidden.of('progress'))});
fails('\w{5}', q{SELECT durable_work.register_worker('w', '{q}', labels => jsonb_build_object('a', repeat(hidden.of('large')->>'n', 9)))});
my $work = <<'SQL';
DO $$
DECLARE
    c record;
    i int := 0;
BEGIN
    FOR c IN SELECT * FROM durable_work.claim('q', 'w', 30) LOOP
        i := i + 1;
        PERFORM durable_work.set_progress(c.job_id, c.lease_token, (SELECT value FROM hidden.secret WHERE kind = 'progress'));
        IF i % 3 = 0 THEN PERFORM durable_work.complete(c.job_id, c.lease_token, (SELECT value FROM hidden.secret WHERE kind = 'result'));
        ELSIF i % 3 = 1 THEN PERFORM durable_work.fail(c.job_id, c.lease_token, (SELECT value FROM hidden.secret WHERE kind = 'error'), retryable => i % 2 = 0);
        ELSE PERFORM durable_work.reject(c.job_id, c.lease_token, (SELECT value->>'n' FROM hidden.secret WHERE kind = 'error'));
        END IF;
    END LOOP;
    FOR c IN SELECT * FROM durable_work.claim('ordered', 'w', 1) LOOP
        PERFORM durable_work.fail(c.job_id, c.lease_token, (SELECT value FROM hidden.secret WHERE kind = 'error'));
    END LOOP;
END $$;
SQL
$node->safe_psql('postgres', $work);
$node->safe_psql('postgres', $work);
$node->safe_psql('postgres', q{SELECT durable_work.set_progress(job_id, lease_token, hidden.of('progress')) FROM durable_work.claim('q', 'w', 3)});
$node->safe_psql('postgres', q{SELECT durable_work.redrive('q', error_like => '%', rate_per_second => 1000)});
wait_until($node, 'postgres', q{SELECT state = 'done' FROM durable_work.redrives}) or die 'nothing was redriven';
$node->safe_psql('postgres', q{SELECT durable_work.update_payload(id, hidden.of('other')) FROM durable_work.inbox WHERE status = 'pending' LIMIT 3});
$node->safe_psql('postgres', q{BEGIN; SELECT durable_work.enqueue('q', hidden.of('payload')); PREPARE TRANSACTION 'p'});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.dead_letters WHERE payload->>'n' LIKE 'TOP' || 'SECRET%' AND history::text LIKE '%TOP' || 'SECRET error%'}), '>', 0, 'there are secrets to tell');

# Who has another queue, or sees numbers only: by views, functions, conditions that tell what they are shown, plans.
my $leak = q{CREATE FUNCTION pg_temp.tell(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN RAISE NOTICE ''told: %'', $1; RETURN true; END';};
for my $role (qw(watcher neighbour owner_of_none)) {
    my $all = join ";\n", ((map { "TABLE durable_work.$_" } qw(inbox dead_letters attempts leases queues queue_stats redrives limits key_weights workers wakeups queue_grants)),
        (map { "SELECT count(*) FROM durable_work.$_ AS t WHERE pg_temp.tell(t)" } qw(inbox dead_letters attempts leases redrives workers queues)),
        'SELECT count(*) FROM durable_work.inbox WHERE pg_temp.tell(payload) AND pg_temp.tell(headers) AND pg_temp.tell(result) AND pg_temp.tell(last_error)',
        q{SELECT count(*) FROM durable_work.dead_letters WHERE 1 / (CASE WHEN payload->>'n' LIKE 'TOP' || 'SECRET%' THEN 0 ELSE 1 END) = 1},
        'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM durable_work.inbox WHERE pg_temp.tell(payload)', 'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM durable_work.dead_letters WHERE pg_temp.tell(history)',
        'SELECT durable_work.explain_job(id) FROM durable_work.inbox LIMIT 5', 'SELECT durable_work.history(id) FROM durable_work.inbox LIMIT 20',
        q{SELECT durable_work.job_state(i, 1, 0) FROM generate_series(1, 400) i}, q{SELECT durable_work.explain_job(i) FROM generate_series(1, 400) i},
        q{SELECT durable_work.history(i) FROM generate_series(1, 400) i}, 'SELECT * FROM durable_work.live_leases()', q{CALL durable_work.wait_for_job(1, '0')}, q{SELECT * FROM durable_work.explain_waiting('q')},
        q{SELECT * FROM durable_work.dead_letter}, q{SELECT * FROM durable_work.job_0}, q{SELECT * FROM pg_stats WHERE schemaname = 'durable_work'},
        q{SELECT * FROM pg_stat_activity});
    my ($status, $out, $err) = $node->psql('postgres', "SET ROLE $role; $leak\n$all;", on_error_stop => 0);
    $all = $out . $err;
    unlike($all, qr/TOPSECRET/, "$role sees and is told nothing");
    unlike($all, qr/division by zero/, "$role cannot ask about what it does not see");
    like($all, qr/told: /, "$role: the conditions tell") if $role eq 'watcher';
}
fails('42501', q{SELECT durable_work.cancel_many('q', filter => '$.payload.n')}, 'watcher');
like($node->safe_psql('postgres', q{SET ROLE worker; SELECT payload FROM durable_work.inbox LIMIT 1}), qr/TOPSECRET/, 'who works on the queue sees');

# After a crash the log is read again, by the housekeeper.
unlike($node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity'), qr/TOPSECRET/, 'the activity view shows none');
$node->stop('immediate');
$node->start;
$node->poll_query_until('postgres', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}) or die 'the queues were not loaded';
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'p'});
$node->safe_psql('postgres', $work);
unlike($node->safe_psql('postgres', 'SELECT * FROM durable_work.health()'), qr/TOPSECRET/, 'nor does health()');
SKIP: {
    skip 'pg_stat_statements is not there', 1 unless $statistics;
    unlike($node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements'), qr/TOPSECRET/, 'nor do the statistics of statements');
}
my $told = slurp_file($node->logfile, $log);
like($told, qr/DEBUG/, 'the log is talkative');
unlike($told, qr/TOPSECRET/, 'and has nothing of what is secret') or diag(join "\n", grep { /TOPSECRET/ } split /\n/, $told);

$node->stop;
done_testing();
