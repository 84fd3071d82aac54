# Claims of at_most_once and durable_claims queues are recorded before anybody works on the job: the server is crashed, and
# a standby promoted, before the claim commits, after it, and after the completion. A payload that takes the server with
# it ends as a dead letter.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

# Nothing reaches the disk unless it is asked to.
my $node = new_server('record', init => { allows_streaming => 1 },
    conf => ['synchronous_commit = off', "wal_writer_delay = '10s'", "wal_writer_flush_after = '1GB'", "checkpoint_timeout = '1h'"]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub crash {
    $node->stop('immediate');
    $node->start;
    return;
}

my $dead = q{SELECT string_agg(concat_ws(' ', payload->>'n', reason, attempts, (SELECT string_agg(concat_ws('-', h->>'event', h->>'attempt', h->>'worker'), ' ' ORDER BY o)
    FROM jsonb_array_elements(history) WITH ORDINALITY AS e(h, o))), ', ' ORDER BY payload->>'n') FROM durable_work.dead_letters WHERE queue = '%s'};
sub dead { return sql(sprintf $dead, $_[0]); }
sub wait_for_dead {
    my ($server, $queue, $count) = @_;
    return wait_until($server, 'postgres', "SELECT count(*) = $count FROM durable_work.dead_letters WHERE queue = '$queue'");
}

# Looks until there is one: right after a start a claim returns nothing.
sub claim {
    my ($server, $queue) = @_;
    for (1 .. 1000) {
        my $row = $server->safe_psql('postgres', "SELECT payload->>'n', attempt, job_id, lease_token FROM durable_work.claim('$queue', 'w', 1)");
        return split /\|/, $row if $row ne '';
        select(undef, undef, undef, 0.02);
    }
    die "nothing to claim in $queue";
}

sql(q{SELECT durable_work.create_queue('once', delivery => 'at_most_once', lease => '1 h');
    SELECT durable_work.create_queue('twice', durable_claims => true, max_attempts => 2, lease => '1 h', backoff_base => '0');});

# --- before the commit of the claim ---------------------------------------------------------------
sql(qq{SET synchronous_commit = on; SELECT durable_work.enqueue('once', '{"n": "early"}'); SELECT durable_work.enqueue('twice', '{"n": "early"}');});
for my $queue (qw(once twice)) {
    my $session = new_session($node);
    $session->send("SELECT pg_sleep(1000) FROM durable_work.claim('$queue', 'w')");
    ok(wait_until($node, 'postgres', "SELECT count(*) = 1 FROM durable_work.leases WHERE queue = '$queue'"), "$queue: claimed, not committed");
    crash();
    $session->finish_sent;
    my ($n, $attempt, $job, $token) = claim($node, $queue);
    is("$n $attempt", 'early 1', "$queue: a claim that did not commit never was");
    is(sql("SELECT durable_work.complete($job, $token)"), 't', "$queue: and the job goes on");
}

# --- after it, with nothing flushed but by the claim ----------------------------------------------
sql(q{SELECT durable_work.enqueue(q, '{"n": "late"}') FROM unnest('{once,twice}'::text[]) AS q});
claim($node, $_) for qw(once twice);
crash();
ok(wait_for_dead($node, 'once', 1), 'at_most_once: a committed claim is the end');
is(dead('once'), 'late outcome unknown 1 claimed-1-w dead_lettered-1', 'with what is known of it');
my ($n, $attempt, $job, $token) = claim($node, 'twice');
is("$n $attempt", 'late 2', 'durable_claims: the attempt counts');
is(sql("SET synchronous_commit = on; SELECT durable_work.complete($job, $token)"), 't', 'the second one completes');

# --- after the completion -------------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('once', '{"n": "done"}')});
($n, $attempt, $job, $token) = claim($node, 'once');
sql("SET synchronous_commit = on; SELECT durable_work.complete($job, $token)");
crash();
is(sql("SELECT string_agg(DISTINCT status, ',') FROM durable_work.inbox WHERE payload->>'n' = 'done'"), 'completed', 'a completion stays one');
is(sql("SELECT string_agg(DISTINCT status || ' ' || attempts, ',') FROM durable_work.inbox WHERE queue = 'twice' AND payload->>'n' = 'late'"), 'completed 2',
    'with its attempts');
is(sql("SELECT durable_work.try_complete($job, $token)"), 'already_completed', 'also to who asks again');

# --- a release is remembered ----------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('twice', '{"n": "released"}')});
for (1 .. 3) {
    ($n, $attempt, $job, $token) = claim($node, 'twice');
    is("$n $attempt", 'released 1', 'a released attempt does not count');
    sql("SET synchronous_commit = on; SELECT durable_work.release($job, $token)");
    crash();
}
($n, $attempt, $job, $token) = claim($node, 'twice');
sql("SELECT durable_work.complete($job, $token)");

# --- so is what a drain gives back ------------------------------------------------------------------
# The housekeeper writes that; on a strict queue it is on disk before anybody sees that the worker is gone. What may be done
# once only is not given back.
sql(q{SELECT durable_work.create_queue('drained_once', delivery => 'at_most_once', lease => '1 h'), durable_work.create_queue('drained', durable_claims => true, lease => '1 h'),
             durable_work.create_queue('drained_strict', durable_claims => true, strict => true, lease => '1 h');
      SELECT durable_work.enqueue(q, '{"n": "drained"}') FROM unnest('{drained_once,drained,drained_strict}'::text[]) AS q});
for my $end (qw(restart crash)) {
    my $instance = sql(q{SELECT durable_work.register_worker('deployed', '{drained_once,drained,drained_strict}')});
    my @queues = $end eq 'restart' ? qw(drained_once drained drained_strict) : qw(drained drained_strict);
    for my $queue (@queues) {
        ok(wait_until($node, 'postgres', "SELECT count(*) = 1 FROM durable_work.claim('$queue', 'deployed', 1, instance => $instance)"), "$queue: claimed");
    }
    sql(q{SELECT durable_work.drain_worker('deployed', '0')});
    ok(wait_until($node, 'postgres', q{SELECT count(*) = 0 FROM durable_work.workers}), 'the worker is gone');
    is(sql(q{SELECT string_agg(queue || ' ' || attempts, ', ' ORDER BY queue) FROM durable_work.inbox WHERE queue IN ('drained', 'drained_strict')}), 'drained 0, drained_strict 0', 'its attempts do not count');
    if ($end eq 'restart') {
        $node->restart;
    } else {
        crash();
    }
    # What was not flushed is lost in a crash, as a release is.
    for my $queue ($end eq 'restart' ? qw(drained drained_strict) : 'drained_strict') {
        ($n, $attempt, $job, $token) = claim($node, $queue);
        is("$n $attempt", 'drained 1', "$queue: nor after a $end");
        sql("SET synchronous_commit = on; SELECT durable_work.release($job, $token)");
    }
}
ok(wait_for_dead($node, 'drained_once', 1), 'at_most_once: what a drained worker held is the end after a restart');
is(dead('drained_once'), 'drained outcome unknown 1 claimed-1-deployed dead_lettered-1', 'outcome unknown');
sql(q{SELECT durable_work.drop_queue(q, force => true) FROM unnest('{drained_once,drained,drained_strict}'::text[]) AS q});

# --- payloads that take the server with them ------------------------------------------------------
sql(q{SELECT durable_work.enqueue('twice', jsonb_build_object('n', n)) FROM unnest('{killer,harmless}'::text[]) AS n});
for my $time (1 .. 2) {
    ($n, $attempt) = claim($node, 'twice');
    is("$n $attempt", "killer $time", "attempt $time at a payload that kills");
    my $victim = new_session($node);
    kill('KILL', $victim->pid) or die "could not kill: $!";
    eval { $victim->quit };
    ok(wait_until($node, 'postgres', "SELECT pg_postmaster_start_time() IS NOT NULL AND NOT pg_is_in_recovery()"), 'the server is back');
}
($n, $attempt, $job, $token) = claim($node, 'twice');
is("$n $attempt", 'harmless 1', 'the next one is served');
sql("SELECT durable_work.complete($job, $token)");
ok(wait_for_dead($node, 'twice', 1), 'the killer is a dead letter');
is(dead('twice'), 'killer attempts exhausted 2 claimed-1-w claimed-2-w dead_lettered-2', 'after as many attempts as it had');

# --- a rollback after the rows went out -----------------------------------------------------------
sql(q{SELECT durable_work.enqueue('once', '{"n": "cancelled"}')});
my $session = new_session($node);
$session->send("SELECT pg_sleep(1000) FROM durable_work.claim('once', 'w')");
wait_until($node, 'postgres', "SELECT count(*) = 1 FROM durable_work.leases WHERE queue = 'once'") or die 'not claimed';
sql('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->finish_sent, '57014', 'the statement is cancelled');
ok(wait_for_dead($node, 'once', 2), 'its job is not handed out again');
is(dead('once'), 'cancelled outcome unknown 1 dead_lettered-1-w, late outcome unknown 1 claimed-1-w dead_lettered-1', 'outcome unknown');
$session->quit;

# --- promotion ------------------------------------------------------------------------------------
$node->backup('copy');
my $new = PostgreSQL::Test::Cluster->new('promoted');
$new->init_from_backup($node, 'copy', has_streaming => 1);
$new->start;
sql(q{SET synchronous_commit = on; SELECT durable_work.enqueue(q, '{"n": "moved"}') FROM unnest('{once,twice}'::text[]) AS q});
claim($node, $_) for qw(once twice);
$node->wait_for_catchup($new);
$new->promote;
ok(wait_for_dead($new, 'once', 3), 'on a promoted standby the claim is the end as well');
($n, $attempt) = claim($new, 'twice');
is("$n $attempt", 'moved 2', 'and counts');

$new->stop;
$node->stop;
done_testing();
