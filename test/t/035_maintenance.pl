# What a superuser may do to our tables while producers and workers run: nothing is lost and nothing is done twice.
# DW_SOAK_SECONDS: how long (default 30).
use strict;
use warnings FATAL => 'all';

use FindBin;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use DurableWork;

plan skip_all => 'needs /usr/bin/python3 with psycopg' if system(qq(/usr/bin/python3 -c 'import psycopg' 2>/dev/null)) != 0;

my $seconds = $ENV{DW_SOAK_SECONDS} || 30;
my $tools = "$FindBin::RealBin/../clients";
# So little room that most jobs are known by the pages they lie on.
my $node = new_server('maintenance', conf => ['log_statement = none', 'durable_work.max_resident_jobs = 512', "durable_work.timer_horizon = '1s'", 'allow_in_place_tablespaces = on',
    'autovacuum_freeze_max_age = 100000', 'autovacuum_naptime = 1s', 'vacuum_freeze_min_age = 0', 'vacuum_freeze_table_age = 0']);
my $directory = PostgreSQL::Test::Utils::tempdir;
my $stop_file = "$directory/stop";
$node->safe_psql('postgres', q{CREATE TABLESPACE elsewhere LOCATION ''});
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE receipt (key text NOT NULL, job_id bigint NOT NULL, token bigint NOT NULL);
SELECT durable_work.create_queue('load', lease => '5 s', max_attempts => 10000, backoff => 'fixed', backoff_base => '20 ms');
SELECT durable_work.create_queue('deep');
SELECT durable_work.create_queue('dead', max_attempts => 1);
-- What was rolled back lies in front of the rest, so whatever writes the table anew moves all rows by many pages.
BEGIN;
SELECT count(*) FROM durable_work.enqueue_many('deep', array_fill('{"n": "never"}'::jsonb, '{20000}'));
ROLLBACK;
SELECT count(*) FROM durable_work.enqueue_many('deep', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 4000) i));
SELECT count(*) FROM durable_work.enqueue_many('dead', array_fill('{}'::jsonb, '{50}'));
SELECT durable_work.reject(job_id, lease_token, 'poison') FROM durable_work.claim('dead', 'w', 50);
-- Long sleepers, which lie in parked.
SELECT count(*) FROM (SELECT durable_work.enqueue('deep', '{"n": "sleeper"}', delay => '1 day') FROM generate_series(1, 200)) s;
CREATE TABLE deep_taken (job_id bigint, token bigint, done boolean);
SQL

my %pid_of;
for my $number (1 .. 6) {
    my $journal = sprintf '%s/journal-%02d', $directory, $number;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>', "$journal.err" or die;
        open STDOUT, '>&', \*STDERR or die;
        exec '/usr/bin/python3', "$tools/mixed_load.py", '--dsn', $node->connstr('postgres'), '--journal', $journal,
            '--seed', $number, '--stop-file', $stop_file;
        die "exec: $!";
    }
    $pid_of{$number} = $pid;
}

my $done = 0;
sub wait_for_progress {
    my ($more) = @_;
    return 0 unless wait_until($node, 'postgres', 'SELECT count(*) >= ' . ($done + $more) . ' FROM receipt');
    $done = $node->safe_psql('postgres', 'SELECT count(*) FROM receipt');
    for my $number (keys %pid_of) {
        next unless waitpid($pid_of{$number}, WNOHANG) > 0;
        diag("client $number has ended: " . join '', map { slurp_file($_) } grep { -s } glob "$directory/journal-*.err");
        return 0;
    }
    return 1;
}
ok(wait_for_progress(100), 'the load runs') or BAIL_OUT('there is no load to test under');

# Beside the load one worker goes through the deep queue, so that it is read from disk all the time.
my $deep = q{INSERT INTO deep_taken SELECT job_id, lease_token, durable_work.complete(job_id, lease_token) FROM durable_work.claim('deep', 'deep', 40)};

my @all = qw(job_0 outcome_0 parked parked_outcome idempotency dead_letter queue topic epoch redrive_task handled fence_token);
my @acts = (
    (map { "VACUUM (FREEZE) durable_work.$_" } @all),
    (map { "VACUUM (FULL) durable_work.$_" } @all),
    (map { "ANALYZE durable_work.$_" } @all),
    (map { "REINDEX TABLE durable_work.$_" } @all),
    (map { "REINDEX INDEX CONCURRENTLY durable_work.$_" } qw(job_0_id outcome_0_id parked_pkey parked_due parked_outcome_id idempotency_pkey idempotency_job dead_letter_pkey dead_letter_age queue_pkey queue_name_key topic_pkey)),
    'REINDEX TABLE CONCURRENTLY durable_work.job_0', 'REINDEX TABLE CONCURRENTLY durable_work.outcome_0',
    'REINDEX SCHEMA durable_work', 'VACUUM', 'VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) durable_work.job_0', 'VACUUM FULL',
    'CLUSTER durable_work.parked USING parked_pkey', 'CLUSTER durable_work.idempotency USING idempotency_pkey',
    'CLUSTER durable_work.dead_letter USING dead_letter_pkey', 'CLUSTER durable_work.parked_outcome USING parked_outcome_id',
    (map { ("ALTER TABLE durable_work.$_ SET TABLESPACE elsewhere", "ALTER TABLE durable_work.$_ SET TABLESPACE pg_default") } qw(job_0 outcome_0 parked parked_outcome idempotency)),
    'ALTER TABLE durable_work.job_0 SET UNLOGGED', 'ALTER TABLE durable_work.job_0 SET LOGGED',
    'ALTER TABLE durable_work.outcome_0 SET UNLOGGED', 'ALTER TABLE durable_work.outcome_0 SET LOGGED',
    q{SELECT brin_summarize_new_values('durable_work.job_0_id')}, q{SELECT brin_desummarize_range('durable_work.job_0_id', 0)},
    'ALTER TABLE durable_work.job_0 SET (autovacuum_enabled = true)',
    'CHECKPOINT',
);
my $until = time + $seconds;
my $rounds = 0;
while ($rounds < @acts || time < $until) {
    my $act = $acts[ $rounds++ % @acts ];
    is(state_of($node, 'postgres', $act), 'ok', $act);
    $node->safe_psql('postgres', $deep);
    unless (wait_for_progress(5)) {
        fail("work goes on after $act");
        diag(substr slurp_file($node->logfile), -3000);
        last;
    }
}
pass("$rounds rounds");

append_to_file($stop_file, 'stop');
for my $number (sort { $a <=> $b } keys %pid_of) {
    waitpid $pid_of{$number}, 0;
    is($?, 0, "client $number ended by itself") or diag(join '', map { slurp_file($_) } glob "$directory/journal-*.err");
}
$node->safe_psql('postgres', <<'SQL');
CREATE PROCEDURE finish_rest() LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + interval '100 s';
    refused bigint;
BEGIN
    WHILE clock_timestamp() < give_up AND EXISTS (SELECT FROM durable_work.inbox WHERE queue IN ('load', 'deep') AND status IN ('pending', 'processing')
                                                  AND available_at < clock_timestamp() + interval '1 hour') LOOP
        WITH c AS MATERIALIZED (SELECT * FROM durable_work.claim('load', 'last', 100)),
             r AS MATERIALIZED (INSERT INTO receipt SELECT payload->>'key', job_id, lease_token FROM c RETURNING 1)
        SELECT count(*) INTO refused FROM c WHERE NOT durable_work.complete(job_id, lease_token);
        COMMIT;
        INSERT INTO deep_taken SELECT job_id, lease_token, durable_work.complete(job_id, lease_token) FROM durable_work.claim('deep', 'deep', 100);
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
CALL finish_rest();
SQL
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'load' AND status <> 'completed'}), '0', 'the queue can be drained');
is($node->safe_psql('postgres', q{SELECT count(*) || ' ' || count(DISTINCT job_id) || ' ' || bool_and(done) FROM deep_taken}), '4000 4000 true', 'each job of the deep queue was done once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.dead_letters}), '50', 'dead letters are there');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'deep' AND status = 'pending'}), '200', 'long sleepers are there');
is($node->safe_psql('postgres', q{SELECT durable_work.redrive('dead')}), '50', 'and can be redriven');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT job_id) FROM helper.claim('dead', 50)}), '50', 'and claimed');
ok(wait_until($node, 'postgres', q{SELECT string_agg(queue || ' ' || unfinished, ', ' ORDER BY queue) = 'dead 50, deep 200, load 0' FROM durable_work.queue_stats}), 'the counters are right')
  or diag($node->safe_psql('postgres', q{SELECT string_agg(queue || ' ' || unfinished, ', ' ORDER BY queue) FROM durable_work.queue_stats}));
my @journals = grep { !/\.err$/ } glob "$directory/journal-*";
my ($out, $err);
my $agreed = IPC::Run::run([ '/usr/bin/python3', "$tools/audit.py", '--dsn', $node->connstr('postgres'), @journals ], '>', \$out, '2>', \$err);
ok($agreed, 'what the clients were told agrees with what the database holds');
note($out);
diag($out . $err) unless $agreed;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no process died');
$node->stop;
done_testing();
