# After a random history the numbers that the dispatcher keeps are those of a full count, and explain_waiting has a reason
# for each job that is not finished, once: three sessions do whatever can be done with jobs, inside transactions that are
# rolled back as often as not, with memory for 128 jobs, and the server is stopped and crashed on the way. DW_SEED repeats
# one history.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $seed = $ENV{DW_SEED} // (time ^ ($$ << 8));
srand($seed);
note("DW_SEED=$seed");

my $node = new_server('numbers', conf => [ 'durable_work.max_resident_jobs = 128', "durable_work.timer_horizon = '2 s'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

my @queues = qw(plain short once bounded doomed turns narrow comes_and_goes);
my %options = (
    plain => q{lease => '1 h'},
    short => q{lease => '1 s', max_attempts => 2, backoff_base => '10 ms', backoff_cap => '100 ms'},
    once => q{lease => '1 h', delivery => 'at_most_once'},
    bounded => q{lease => '1 h', max_length => 60, overflow => 'drop_oldest'},
    doomed => q{lease => '1 h', max_attempts => 1, dead_letter_queue => 'plain'},
    turns => q{lease => '1 h', ordering => 'key', on_exhausted => 'hold', max_attempts => 2, backoff_base => '10 ms', backoff_cap => '100 ms'},
    narrow => q{lease => '1 h', fairness => 'key'},
    comes_and_goes => q{lease => '1 h', durable_claims => true},
);
sql("SELECT durable_work.create_queue('$_', $options{$_})") for @queues;
sql(q{SELECT durable_work.set_concurrency_limit('narrow', 2, scope => 'key')});

# What the views say beside what the tables say; a row for each queue that differs.
sql(<<'SQL');
CREATE VIEW helper.differences AS
SELECT queue.name, stats.ready, stats.delayed, stats.processing, stats.blocked, stats.spilled, stats.unfinished, stats.dead_letter,
       job.pending AS counted_pending, job.processing AS counted_processing, dead.letters AS counted_dead, why.reasons
FROM durable_work.queue AS queue
JOIN durable_work.queue_stats AS stats ON stats.queue = queue.name
LEFT JOIN (SELECT queue, count(*) FILTER (WHERE status = 'pending') AS pending, count(*) FILTER (WHERE status = 'processing') AS processing,
                  count(*) FILTER (WHERE status = 'dead_letter') AS dead
           FROM durable_work.inbox GROUP BY queue) AS job ON job.queue = queue.name
LEFT JOIN (SELECT queue, count(*) AS letters FROM durable_work.dead_letters GROUP BY queue) AS dead ON dead.queue = queue.name
CROSS JOIN LATERAL (SELECT sum(jobs) AS jobs, bool_and(jobs IS NOT NULL) AS is_known, string_agg(concat_ws(' ', reason, jobs), ', ') AS reasons
                    FROM durable_work.explain_waiting(queue.name)) AS why
WHERE stats.unfinished IS DISTINCT FROM COALESCE(job.pending + job.processing, 0)
   OR stats.processing IS DISTINCT FROM COALESCE(job.processing, 0)
   OR stats.ready + stats.delayed + stats.blocked + stats.spilled IS DISTINCT FROM COALESCE(job.pending, 0)
   OR stats.dead_letter IS DISTINCT FROM COALESCE(dead.letters, 0)
   OR COALESCE(job.dead, 0) <> COALESCE(dead.letters, 0)
   OR (stats.ready > 0) <> (stats.oldest_due_age IS NOT NULL)
   OR NOT why.is_known
   OR why.jobs <> COALESCE(job.pending + job.processing, 0);
SQL

sub one_of { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

my @sessions;
my @held;    # "job,token" that some claim has returned, whatever became of it
my @waiting; # ids of jobs that waited a while ago
my $spilled = 0;
my %reasons; # of explain_waiting, how often each was met
my %tried;   # what was done, by its SQLSTATE

sub open_sessions {
    @sessions = map { new_session($node) } 1 .. 3;
    $_->query(q{SET lock_timeout = '100ms'; SET statement_timeout = '10s'}) for @sessions;
    return;
}

my %operations; # name: weight, and what makes a statement
sub do_it {
    my ($session, $what, $statement) = @_;
    my $state = $session->try($statement);
    $tried{$what}{$state}++;
    $session->{block} = 1 if $what eq 'begin' && $state eq 'ok';
    $session->{block} = $session->{savepoint} = 0 if $what =~ /^(commit|rollback)$/;
    $session->{savepoint} = 1 if $what eq 'savepoint' && $state eq 'ok';
    $session->{savepoint} = 0 if $what eq 'release_savepoint' && $state eq 'ok';
    if ($state eq '25P02') {
        my $back = $session->{savepoint} && chance(0.5) ? 'rollback_to' : one_of(qw(commit rollback));
        do_it($session, $back, $operations{$back}[1]->());
    }
    return $state eq 'ok';
}

sub some_held {
    my ($most) = @_;
    my @some = map { one_of(@held) // '0,0' } 1 .. 1 + int rand $most;
    my %once = map { (split /,/)[0] => $_ } @some;
    return map { [ split /,/ ] } values %once;
}
sub job_and_token { my ($one) = some_held(1); return "$one->[0], $one->[1]"; }
sub any_job { return one_of(@waiting) // 1; }

my @delays = (('NULL') x 4, q{'20 ms'}, q{'1 s'}, q{'4 s'}, q{'1 h'});
%operations = (
    enqueue => [ 12, sub { my $key = chance(0.4) ? "'k" . int(rand(15)) . "'" : 'NULL';
        return "SELECT durable_work.enqueue('" . one_of(@queues) . "', '{\"n\": 1}', " . one_of('NULL', map { "'p$_'" } 1 .. 4) . ', priority => ' . int(rand 10) . ', delay => ' . one_of(@delays)
            . ($key eq 'NULL' ? ')' : ", idempotency_key => $key, " . one_of(q{on_duplicate => 'replace'}, map { "unique_while => '$_'" } qw(window pending active)) . ')'); } ],
    enqueue_many => [ 6, sub { my $n = 1 + int rand 40;
        return "SELECT count(*) FROM durable_work.enqueue_many('" . one_of(@queues) . "', array_fill('{}'::jsonb, '{$n}'), "
            . "(SELECT array_agg(CASE WHEN random() < 0.7 THEN 'p' || ceil(4 * random()) END) FROM generate_series(1, $n)), "
            . "available_ats => (SELECT array_agg(CASE WHEN random() < 0.4 THEN now() + random() * random() * interval '10 s' END) FROM generate_series(1, $n)))"; } ],
    complete => [ 10, sub { return 'SELECT durable_work.try_complete(' . job_and_token() . ')'; } ],
    complete_many => [ 6, sub { my @some = some_held(20);
        my ($jobs, $tokens) = map { my $place = $_; join ',', map { $_->[$place] } @some } 0, 1;
        return "SELECT count(*) FROM durable_work.complete_many(ARRAY[$jobs]::bigint[], ARRAY[$tokens]::bigint[])"; } ],
    fail => [ 8, sub { return 'SELECT durable_work.fail(' . job_and_token() . ', retry_in => ' . one_of('NULL', q{'10 ms'}, q{'5 s'}) . ', retryable => ' . one_of('true', 'false') . ')'; } ],
    release => [ 3, sub { return 'SELECT durable_work.release(' . job_and_token() . ')'; } ],
    defer => [ 3, sub { return 'SELECT durable_work.defer(' . job_and_token() . q{, clock_timestamp() + } . one_of(q{interval '50 ms'}, q{interval '1 min'}) . ')'; } ],
    reject => [ 2, sub { return 'SELECT durable_work.reject(' . job_and_token() . q{, 'no')}; } ],
    cancel => [ 5, sub { return 'SELECT durable_work.cancel(' . any_job() . ')'; } ],
    reschedule => [ 5, sub { return 'SELECT durable_work.reschedule(' . any_job() . ', clock_timestamp() + ' . one_of(q{interval '0'}, q{interval '3 s'}, q{interval '1 h'}) . ')'; } ],
    update_payload => [ 3, sub { return 'SELECT durable_work.update_payload(' . any_job() . q{, '{"changed": 1}')}; } ],
    cancel_many => [ 2, sub { return "SELECT * FROM durable_work.cancel_many('" . one_of(@queues) . q{', max_jobs => 5, older_than => '0')}; } ],
    retry_now_many => [ 1, sub { return "SELECT * FROM durable_work.retry_now_many('" . one_of(@queues) . q{')}; } ],
    purge => [ 1, sub { return "SELECT durable_work.purge_queue('" . one_of(@queues) . q{')}; } ],
    redrive => [ 3, sub { return "SELECT durable_work.redrive('" . one_of(@queues) . q{', max_jobs => 10)}; } ],
    redrive_slowly => [ 1, sub { return "SELECT durable_work.redrive('" . one_of(@queues) . q{', max_jobs => 5, rate_per_second => 50)}; } ],
    discard => [ 2, sub { return q{SELECT durable_work.discard_dead_letter(job_id, queue) FROM durable_work.dead_letters ORDER BY random() LIMIT 2}; } ],
    unblock => [ 3, sub { return q{SELECT durable_work.unblock_key('turns', partition_key, '} . one_of(qw(retry skip dead_letter)) . q{') FROM durable_work.blocked_keys('turns') LIMIT 2}; } ],
    pause => [ 1, sub { my $queue = one_of(@queues); return "SELECT durable_work.pause_queue('$queue'); SELECT durable_work.resume_queue('$queue')"; } ],
    begin => [ 10, sub { return 'BEGIN'; } ],
    commit => [ 5, sub { return 'COMMIT'; } ],
    rollback => [ 4, sub { return 'ROLLBACK'; } ],
    savepoint => [ 6, sub { return 'SAVEPOINT s'; } ],
    rollback_to => [ 4, sub { return 'ROLLBACK TO s'; } ],
    release_savepoint => [ 3, sub { return 'RELEASE s'; } ],
);
my @weighted = map { my $name = $_; ($name) x $operations{$name}[0] } sort keys %operations;

sub step {
    my $session = one_of(@sessions);
    if (chance(0.15)) {
        my $rows = do_it($session, 'claim', "SELECT job_id || ',' || lease_token FROM durable_work.claim('" . one_of(@queues) . "', 'w', " . (1 + int rand 15) . ')')
            ? $session->output : '';
        push @held, split /\n/, $rows;
        splice @held, 0, @held - 200 if @held > 200;
    } elsif (chance(0.01)) {
        do_it($session, 'drop', q{SELECT durable_work.drop_queue('comes_and_goes', force => true)});
        do_it($session, 'create', "SELECT durable_work.create_queue('comes_and_goes', $options{comes_and_goes})");
    } else {
        my $name = one_of(@weighted);
        $name = 'begin' if $name =~ /savepoint|_to$/ && !$session->{block};
        $name = 'savepoint' if $name =~ /savepoint|_to$/ && !$session->{savepoint};
        do_it($session, $name, $operations{$name}[1]->());
    }
    return;
}

sub come_to_rest {
    my ($name) = @_;
    $_->try(one_of('COMMIT', 'ROLLBACK')) && $_->quit for @sessions;
    ok(wait_until($node, 'postgres', 'SELECT count(*) = 0 FROM helper.differences'), "$name the numbers are those of a full count")
      or diag("DW_SEED=$seed\n" . sql('SELECT * FROM helper.differences'));
    $spilled += sql('SELECT sum(spilled) FROM durable_work.queue_stats');
    $reasons{$_}++ for split /\n/, sql('SELECT reason FROM durable_work.queues, LATERAL durable_work.explain_waiting(queue)');
    return;
}

for my $round (1 .. 3) {
    open_sessions();
    for my $step (0 .. 499) {
        @waiting = split /\n/, sql(q{SELECT id FROM durable_work.inbox WHERE status IN ('pending', 'processing') ORDER BY random() LIMIT 100}) if $step % 50 == 0;
        step();
    }
    come_to_rest("after round $round");
    open_sessions();
    step() for 1 .. 100;
    # Whatever is open then is rolled back.
    $node->stop($round == 2 ? 'fast' : 'immediate');
    $_->quit for @sessions;
    @held = () if chance(0.5);
    $node->start;
    @sessions = ();
    come_to_rest('after a ' . ($round == 2 ? 'stop' : 'crash'));
}
cmp_ok($spilled, '>', 0, 'not all jobs were in memory');
note('reasons: ' . join ', ', map { "$_ $reasons{$_}" } sort keys %reasons);
is(sql(q{SELECT sum(job_bytes + outcome_bytes) = (SELECT sum(pg_total_relation_size(oid)) FROM pg_class
        WHERE relnamespace = 'durable_work'::regnamespace AND relname ~ '^(job|outcome)_[0-7]$|^parked(_outcome)?$') FROM durable_work.segments}),
    't', 'bytes by segment are those of the tables');

# Every kind of thing has been done, and some of it refused.
for my $what (sort keys %operations, 'claim') {
    cmp_ok($tried{$what}{ok} // 0, '>', 0, "$what worked at times") or diag("DW_SEED=$seed");
}
note(join "\n", map { my $what = $_; "$what: " . join ', ', map { "$_ $tried{$what}{$_}" } sort keys %{ $tried{$what} } } sort keys %tried);

# --- what is left can be worked off, each job once ----------------------------------------------------------------
my %done;
my $worker = new_session($node);
my $twice = 0;
my $give_up = time + 120;
while (sql('SELECT sum(unfinished) FROM durable_work.queue_stats') > 0 && time < $give_up) {
    $worker->try(q{SELECT durable_work.unblock_key('turns', partition_key, 'skip') FROM durable_work.blocked_keys('turns')});
    for my $queue (@queues) {
        # As many as there is memory for.
        $worker->try("SELECT durable_work.reschedule_many('$queue', now())");
        my @mine = map { [ split /,/ ] } split /\n/, $worker->query("SELECT job_id || ',' || lease_token FROM durable_work.claim('$queue', 'w', 100)");
        next unless @mine;
        my ($jobs, $tokens) = map { my $place = $_; join ',', map { $_->[$place] } @mine } 0, 1;
        $worker->query("SELECT durable_work.complete_many(ARRAY[$jobs]::bigint[], ARRAY[$tokens]::bigint[])");
        $twice += grep { $done{"$queue $_->[0]"}++ } @mine;
    }
}
is(sql('SELECT sum(unfinished) FROM durable_work.queue_stats'), '0', 'all that the numbers tell of can be worked off')
  or diag("DW_SEED=$seed\n" . sql('SELECT * FROM durable_work.queue_stats') . "\n" . sql(q{SELECT id, queue, status, created_at, available_at, attempts, now() FROM durable_work.inbox WHERE status IN ('pending', 'processing')}));
is($twice, 0, 'each job once');
$worker->quit;
is(sql('SELECT count(*) FROM helper.differences'), '0', 'and the numbers agree at the end');
$node->stop;

done_testing();
