# Eight workers that take jobs of their own buckets only, and join, leave, drain, are killed and come back at random,
# while the number of buckets changes, jobs fail, are given back and come late: each job is done once, nobody holds what
# another holds, the jobs of a key follow each other, and nothing is left lying. Judged by what the workers themselves have
# written down.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $seed = $ENV{DW_SEED} // time;
srand $seed;
note "DW_SEED=$seed";
my $rounds = $ENV{DW_ROUNDS} // 60;

my $node = new_server('ring_random', conf => [ "durable_work.heartbeat_interval = '100 ms'", "durable_work.worker_dead_after = '500 ms'", 'fsync = off' ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub becomes { return ok(wait_until($node, 'postgres', $_[0]), $_[1]); }

sql(<<'SQL');
SELECT durable_work.create_queue('q', lease => '3 s', max_attempts => 30000, backoff => 'fixed', backoff_base => '10 ms', ordering => 'key');
CREATE TABLE taken (job_id bigint, key text, token bigint PRIMARY KEY, worker text, at timestamptz, until timestamptz);
CREATE TABLE done (job_id bigint PRIMARY KEY, key text, token bigint, worker text, began timestamptz, ended timestamptz);
CREATE TABLE stop (what text);
CREATE PROCEDURE produce() LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM stop) LOOP
        PERFORM durable_work.enqueue_many('q', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 5)), ARRAY(SELECT 'k' || (random() * 100)::int FROM generate_series(1, 5)),
            available_ats => ARRAY(SELECT CASE WHEN random() < 0.2 THEN clock_timestamp() + random() * interval '300 ms' END FROM generate_series(1, 5)));
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
-- What is taken is written down by the claim's own transaction, with the time before and the end of the lease.
CREATE PROCEDURE work(who text) LANGUAGE plpgsql AS $$
DECLARE
    me bigint := durable_work.register_worker(who, '{q}', capacity => 10);
    jobs durable_work.claimed_job[];
    job durable_work.claimed_job;
    began timestamptz;
BEGIN
    COMMIT;
    LOOP
        BEGIN
            began := clock_timestamp();
            jobs := ARRAY(SELECT c FROM durable_work.claim('q', who, 1 + (random() * 6)::int, wait => '50 ms', owned_only => true, instance => me) c);
            INSERT INTO taken SELECT t.job_id, t.partition_key, t.lease_token, who, began, t.lease_expires_at FROM unnest(jobs) t;
        EXCEPTION WHEN SQLSTATE 'DW006' THEN
            EXIT;
        END;
        COMMIT;
        EXIT WHEN jobs = '{}' AND NOT EXISTS (SELECT FROM durable_work.workers WHERE worker = who AND instance = me AND state <> 'draining');
        FOREACH job IN ARRAY jobs LOOP
            BEGIN
                IF random() < 0.05 THEN
                    PERFORM durable_work.fail(job.job_id, job.lease_token);
                ELSIF random() < 0.05 THEN
                    PERFORM durable_work.release(job.job_id, job.lease_token);
                ELSE
                    PERFORM durable_work.complete(job.job_id, job.lease_token);
                    INSERT INTO done VALUES (job.job_id, job.partition_key, job.lease_token, who, began, clock_timestamp());
                END IF;
            EXCEPTION WHEN SQLSTATE 'DW001' THEN
                NULL;
            END;
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
SQL

my %running;
sub begin_worker {
    my ($name) = @_;
    $running{$name} = new_session($node);
    $running{$name}->send("CALL work('$name')");
    return;
}
# Takes away what has ended by itself; anything but a regular end, or a loss that was meant, is a fault.
sub tidy {
    for my $name (grep { $running{$_}->done } sort keys %running) {
        my $end = $running{$name}->finish_sent;
        is($end, 'ok', "$name ended regularly") or diag($running{$name}->errors);
        (delete $running{$name})->quit;
    }
    return;
}
my @names = map { "worker $_" } 1 .. 8;
my $producer = new_session($node);
$producer->send('CALL produce()');
begin_worker($_) for @names[0 .. 3];
my %happened;
for my $round (1 .. $rounds) {
    tidy();
    my $name = $names[int rand @names];
    my $here = exists $running{$name};
    my $what = $here ? (qw(kill drain drain_now leave resize))[int rand 5] : 'join';
    $happened{$what}++;
    if ($what eq 'join') {
        begin_worker($name);
        becomes("SELECT count(*) > 0 FROM durable_work.workers WHERE worker = '$name' AND state = 'alive'", "$round: $name joins");
    } elsif ($what eq 'kill') {
        sql('SELECT pg_terminate_backend(' . $running{$name}->pid . ')');
        like($running{$name}->finish_sent, qr/^(?:57P01|lost)$/, "$round: $name is killed");
        (delete $running{$name})->quit;
    } elsif ($what =~ /^drain/) {
        my $deadline = $what eq 'drain' ? '10 s' : '0';
        is($node->psql('postgres', "SELECT durable_work.drain_worker('$name', '$deadline')"), 0, "$round: $name drains");
    } elsif ($what eq 'leave') {
        sql("SELECT durable_work.deregister_worker('$name')");
    } else {
        sql('SELECT durable_work.resize_buckets($$q$$, ' . (1 + int rand 500) . ')');
    }
    my $seen = sql('SELECT count(*) FROM done');
    becomes("SELECT count(*) > $seen OR NOT EXISTS (SELECT FROM durable_work.workers WHERE state = 'alive') FROM done", "$round: work goes on after $what");
}
note join ', ', map { "$_: $happened{$_}" } sort keys %happened;

# The end: whoever is gone comes back, and everything is worked off.
tidy();
begin_worker($_) for grep { !$running{$_} } @names;
sql(q{INSERT INTO stop VALUES ('all')});
is($producer->finish_sent, 'ok', 'the producer ends');
becomes(q{SELECT unfinished = 0 FROM durable_work.queue_stats WHERE queue = 'q'}, 'nothing is left lying');
$node->psql('postgres', "SELECT durable_work.drain_worker('$_')") for @names;
for my $name (sort keys %running) {
    is($running{$name}->finish_sent, 'ok', "$name ends") or diag($running{$name}->errors);
}
becomes('SELECT count(*) = 0 FROM durable_work.workers', 'all workers are gone');

is(sql(q{SELECT enqueued - (SELECT count(*) FROM done) FROM durable_work.queue_stats WHERE queue = 'q'}), '0', 'each job was done, and once');
is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q' AND status <> 'completed'}), '0', 'the log says the same');
is(sql(q{SELECT count(*) FROM done d WHERE NOT EXISTS (SELECT FROM taken t WHERE t.token = d.token AND t.job_id = d.job_id AND t.worker = d.worker)}), '0', 'each was done under a lease that its worker had got');
is(sql(q{SELECT count(*) FROM done d JOIN taken t ON t.job_id = d.job_id AND t.token > d.token}), '0', 'nobody got a job that was done');
is(sql(q{SELECT count(*) FROM done d JOIN taken t ON t.key = d.key AND t.job_id > d.job_id AND t.token < d.token}), '0', 'no job was handed out before the earlier ones of its key were done');
cmp_ok(sql('SELECT count(DISTINCT key) FROM done'), '>', 90, 'of many keys');
cmp_ok(sql('SELECT count(DISTINCT worker) FROM done'), '>=', 4, 'several workers took part');
$_->quit for $producer, values %running;
$node->stop;
done_testing();
