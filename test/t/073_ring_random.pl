# Eight workers that take jobs of their own buckets only, and join, leave, drain, hang, lose their connections, are killed and
# come back at random, while the number of buckets changes, the server crashes, jobs fail, are given back, come late, die and
# block their keys. Judged by what the workers themselves have written down: each job is done once, nobody holds what another
# holds, the jobs of a key follow each other, and nothing is left lying. That the judge is not blind is shown by lies.
use strict;
use warnings FATAL => 'all';

use FindBin;
use IPC::Run ();
use POSIX qw(WNOHANG WUNTRACED WIFSTOPPED);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use CrashLoad;
use DurableWork;

plan skip_all => 'needs /usr/bin/python3 with psycopg' unless can_run_load();

my $seed = $ENV{DW_SEED} // int time;
srand $seed;
note "DW_SEED=$seed";
my $rounds = $ENV{DW_ROUNDS} // 30;
my $max_attempts = 2;
my @names = map { "worker $_" } 1 .. 8;

my $node = new_server('ring_random', conf => [ "durable_work.heartbeat_interval = '100 ms'", "durable_work.worker_dead_after = '500 ms'", 'fsync = off', 'log_statement = none' ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub becomes { return ok(wait_until($node, 'postgres', $_[0]), $_[1]); }

sql(<<"SQL");
SELECT durable_work.create_queue('plain', lease => '3 s', max_attempts => 30000, backoff => 'fixed', backoff_base => '10 ms', ordering => 'key');
SELECT durable_work.create_queue(name, lease => '3 s', max_attempts => $max_attempts, backoff => 'fixed', backoff_base => '10 ms', ordering => 'key',
    on_exhausted => policy) FROM (VALUES ('hold', 'hold'), ('dead', 'dead_letter_key')) AS queue (name, policy);
-- The effects of the jobs.
CREATE TABLE done (job_id bigint PRIMARY KEY, token bigint);
SQL

# --- clients ---------------------------------------------------------------------------------------
my $directory = PostgreSQL::Test::Utils::tempdir;
my $calm = "$directory/calm";
my (%pid_of, %journal_of);
my $clients = 0;
my $lost = 3;    # exit status

END {
    local $?;
    kill 'KILL', values %pid_of;
}

sub begin {
    my ($role, $name) = @_;
    my $journal = sprintf '%s/journal-%s-%04d', $directory, $name =~ s/ //gr, ++$clients;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>', "$journal.err" or die;
        open STDOUT, '>&', \*STDERR or die;
        %pid_of = ();
        exec '/usr/bin/python3', "$FindBin::RealBin/../clients/keyed_load.py", '--dsn', $node->connstr('postgres'), '--journal', $journal,
            '--seed', $seed + $clients, '--calm-file', $calm, $role, $name;
        die "exec: $!";
    }
    $pid_of{$name} = $pid;
    $journal_of{$name} = $journal;
    return;
}

sub complaints { return join '', map { slurp_file($_) } grep { -s } glob "$directory/journal-*.err" }

# A client has ended, by itself or because its connection was lost where that was meant.
my %may_be_lost;
sub ended {
    my ($name, $status) = @_;
    delete $pid_of{$name};
    return ok($status == 0 || ($may_be_lost{$name} && $status == $lost << 8), "$name ended regularly") || diag("status $status\n" . complaints());
}

sub join_in {
    my ($name) = @_;
    $may_be_lost{$name} = 0;
    begin('worker', $name);
    return;
}

# Takes away who has ended.
sub tidy {
    for my $name (sort keys %pid_of) {
        ended($name, $?) if waitpid($pid_of{$name}, WNOHANG) > 0;
    }
    return;
}

sub wait_for_end {
    my ($name) = @_;
    for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default) {
        return ended($name, $?) if waitpid($pid_of{$name}, WNOHANG) > 0;
        select undef, undef, undef, 0.1;
    }
    return fail("$name ends");
}

# What this test has done itself goes to a journal of its own.
sub now { return int(1e6 * time); }
sub note_down { return append_to_file("$directory/journal-test", sprintf "$_[0]\n", @_[ 1 .. $#_ ]); }

# Of the others, too, there are some who work.
sub company {
    my ($name) = @_;
    tidy();
    for my $other (grep { $_ ne $name } @names) {
        last if grep({ $_ =~ /^worker/ && $_ ne $name } keys %pid_of) >= 3;
        join_in($other) if !$pid_of{$other};
    }
    return;
}

# Stops one of the workers at a moment when it holds something, has written down the claim and is in no transaction. From then on
# its leases last an hour: whoever gets one of its jobs gets it because of what is done to the worker or to the server.
# Returns its name, its instance and the conditions that its leases, and that others have finished something of what it held.
sub stop_holder {
    for (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default) {
        tidy();
        my $name = $names[ int rand @names ];
        join_in($name) if !$pid_of{$name};
        kill 'STOP', $pid_of{$name};
        waitpid $pid_of{$name}, WUNTRACED;
        if (!WIFSTOPPED(${^CHILD_ERROR_NATIVE})) {
            ended($name, $?);
            next;
        }
        my ($instance) = split /\n/, sql(
            "SELECT instance FROM durable_work.workers w WHERE worker = '$name' AND state <> 'draining'
             AND 'idle' = (SELECT max(state) FROM pg_stat_activity WHERE application_name = '$name')");
        my $journal = -e $journal_of{$name} ? slurp_file($journal_of{$name}) : '';
        my @held;
        if ($instance && $journal =~ /"instance": $instance\b/) {
            my $asked = now();
            my @leases = map { [ split /\|/ ] } split /\n/, sql(
                "SELECT h.job_id, l.lease_token, (extract(epoch FROM h.lease_expires_at) * 1000000)::bigint
                 FROM durable_work.heartbeat('$name', '1 h', $instance) h JOIN durable_work.leases l USING (job_id) WHERE h.state = 'leased'");
            @held = grep { my $token = $_->[1]; $journal =~ /"token": $token,/ } @leases;
            note_down('{"did": "extended", "job": %d, "token": %d, "until": %d, "asked": %d, "told": %d}', @$_, $asked, now()) for @held;
            if (@held) {
                my ($jobs, $tokens) = map { my $n = $_; join ',', map { $_->[$n] } @held } 0, 1;
                return $name, $instance, "SELECT count(*) = 0 FROM durable_work.leases WHERE lease_token IN ($tokens)",
                    "SELECT EXISTS (SELECT FROM done WHERE job_id IN ($jobs) AND token NOT IN ($tokens))
                     OR EXISTS (SELECT FROM durable_work.dead_letters WHERE job_id IN ($jobs))";
            }
            # Held, but not written down: it was just about to.
            sql("SELECT count(*) FROM durable_work.heartbeat('$name', NULL, $instance)");
        }
        kill 'CONT', $pid_of{$name};
        select undef, undef, undef, 0.01;
    }
    die 'nobody ever holds anything';
}

sub drain {
    my ($name, $seconds, $instance) = @_;
    $instance //= sql("SELECT instance FROM durable_work.workers WHERE worker = '$name'");
    return unless $instance;
    my $asked = now();
    my $status = $node->psql('postgres', "SELECT durable_work.drain_worker('$name', '$seconds s', $instance)");
    note_down('{"did": "drained", "worker": "%s", "instance": %d, "deadline": %d, "asked": %d, "told": %d}', $name, $instance, $seconds * 1e6, $asked, now()) if $status == 0;
    return $status == 0;
}

sub restart_server {
    my ($mode) = @_;
    $may_be_lost{$_} = 1 for keys %pid_of;
    my $asked = now();
    $node->stop($mode);
    $node->start;
    note_down('{"did": "crashed", "asked": %d, "told": %d}', $asked, now());
    return;
}

my %acts = (
    'death of the client' => sub {
        my ($name) = @_;
        kill 'KILL', $pid_of{$name};
        waitpid delete $pid_of{$name}, 0;
    },
    'loss of the connection' => sub {
        my ($name) = @_;
        $may_be_lost{$name} = 1;
        sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '$name'");
    },
    'drain' => sub { drain($_[0], 10) },
    'short drain' => sub { drain($_[0], 0.2) },
    'drain at once' => sub { drain($_[0], 0) },
    'drain of one that hangs' => sub {
        my ($name, $instance, $gone, $finished) = stop_holder();
        company($name);
        ok(drain($name, 0, $instance), "$name drains");
        becomes($gone, "$name holds nothing any more");
        becomes($finished, 'others do its work meanwhile');
        kill 'CONT', $pid_of{$name};
    },
    'deregistration' => sub {
        my ($name) = @_;
        my $instance = sql("SELECT instance FROM durable_work.workers WHERE worker = '$name'") or return;
        my $asked = now();
        my $status = $node->psql('postgres', "SELECT durable_work.deregister_worker('$name', $instance)");
        note_down('{"did": "deregistered", "worker": "%s", "instance": %d, "asked": %d, "told": %d}', $name, $instance, $asked, now()) if $status == 0;
    },
    'other buckets' => sub { sql(q{SELECT durable_work.resize_buckets('plain', } . (1 + int rand 500) . ')') },
    'crash of the server' => sub {
        my ($name, undef, undef, $finished) = stop_holder();
        restart_server('immediate');
        company($name);
        becomes($finished, "others do the work of $name");
        kill 'CONT', $pid_of{$name};
    },
);

sub work_goes_on {
    my ($what) = @_;
    my $seen = sql('SELECT count(*) FROM done');
    return becomes("SELECT count(*) > $seen OR NOT EXISTS (SELECT FROM durable_work.workers WHERE state = 'alive') FROM done", $what);
}

# --- the run ---------------------------------------------------------------------------------------
begin($_, $_) for qw(producer operator);
join_in($_) for @names;
becomes("SELECT count(*) = 8 FROM durable_work.workers WHERE state = 'alive'", 'eight workers');
becomes('SELECT count(*) > 400 FROM done', 'work');
my (%happened, @order);
for (my $round = 1; $round <= $rounds || grep { !$happened{$_} } keys %acts; $round++) {
    tidy();
    my $name = $names[ int rand @names ];
    if (!$pid_of{$name}) {
        join_in($name);
        $happened{'joining'}++;
        becomes("SELECT count(*) > 0 FROM durable_work.workers WHERE worker = '$name' AND state = 'alive'", "$round: $name joins");
        next;
    }
    @order = sort keys %acts unless @order;
    my $act = splice @order, int(rand @order), 1;
    $happened{$act}++;
    $acts{$act}->($name);
    work_goes_on("$round: work goes on after $act");
}
note join ', ', map { "$_: $happened{$_}" } sort keys %happened;

# --- the end: whoever is gone comes back, and everything is worked off -----------------------------
becomes("SELECT count(DISTINCT queue) = 2 FROM durable_work.dead_letters WHERE reason = 'attempts exhausted'", 'some jobs have died');
# Nobody is taken for dead any more, so from when the eight are there each key has the same owner. Who is connected has not gone with
# the server, and stays.
$node->append_conf('postgresql.conf', "durable_work.worker_dead_after = '1 h'");
restart_server('fast');
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default) {
    tidy();
    join_in($_) for grep { !$pid_of{$_} } @names;
    last if sql("SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name IN (SELECT worker FROM durable_work.workers WHERE state = 'alive')") == @names;
    select undef, undef, undef, 0.1;
}
my $together = now();
my %owners = map { $_ => sql("SELECT jsonb_object_agg(key, durable_work.ring_owner('$_', key)) FROM (SELECT DISTINCT partition_key AS key FROM durable_work.inbox WHERE queue = '$_') k") } qw(plain hold dead);
my $seen = sql('SELECT count(*) FROM done');
becomes("SELECT count(*) > $seen + 200 FROM done", 'all are there again, and work');
is(sql("SELECT count(*) FROM durable_work.workers WHERE state = 'alive'"), scalar @names, 'they still are');
my $parted = now();
note_down('{"did": "owners", "queue": "%s", "owners": %s, "asked": %d, "told": %d}', $_, $owners{$_}, $together, $parted) for sort keys %owners;
append_to_file($calm, 'calm');
wait_for_end($_) for qw(producer operator);
is(sql('SELECT sum(unfinished) FROM durable_work.queue_stats'), '0', 'nothing is left lying');
drain($_, 10) for @names;
wait_for_end($_) for sort keys %pid_of;
becomes('SELECT count(*) = 0 FROM durable_work.workers', 'all workers are gone');

is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE status NOT IN ('completed', 'dead_letter')}), '0', 'the log says that all has ended');
is(sql(q{SELECT count(*) FROM durable_work.inbox i FULL JOIN done d ON d.job_id = i.id WHERE (i.status = 'completed') <> (d.job_id IS NOT NULL)}), '0', 'each job that was completed has its effect');
cmp_ok(sql(q{SELECT count(DISTINCT partition_key) FROM durable_work.inbox WHERE queue = 'plain'}), '>', 90, 'of many keys');

# --- the audit -------------------------------------------------------------------------------------
my @journals = grep { !/\.err$/ } glob "$directory/journal-*";
my %took_part = map { $_ => 1 } map { slurp_file($_) =~ /"did": "claimed".*"worker": "(worker \d)"/g } @journals;
is(join(', ', sort keys %took_part), join(', ', @names), 'eight workers took part');
my ($out, $err) = ('', '');
my $agreed = IPC::Run::run([ '/usr/bin/python3', "$FindBin::RealBin/../clients/keyed_audit.py", '--dsn', $node->connstr('postgres'), '--max-attempts', $max_attempts, @journals ],
    '>', \$out, '2>', \$err);
note($out);
ok($agreed, 'what the workers were told is what was promised') or diag($out . $err);
like($out, qr/^found: $_$/m, "a lie is found: $_") for qw(stolen stale twice again token given owned order together drained crashed unblocked followers effect lost);
$node->stop;
done_testing();
