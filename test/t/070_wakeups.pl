# Who is woken: one worker a job, in the order in which they went to sleep, and nobody in vain. Counted
# by the server itself (view wakeups) and seen from outside. The housekeeper is stopped meanwhile, so
# that only commits and claims wake.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $workers = 32;
my $node = new_server('wakeups', conf => [ "durable_work.max_wait = '2 h'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{SELECT durable_work.create_queue(q) FROM unnest('{q,other}'::text[]) q});
# A first claim, so that nothing has to be loaded any more.
sql(q{SELECT durable_work.enqueue('q', '{"n": "first"}')});
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM helper.claim('q', 1)});
my $housekeeper = housekeeper($node, 'postgres');
signal_stopped($housekeeper);

sub wakeups { return sql(qq{SELECT sleeping, woken, woken_in_vain FROM durable_work.wakeups WHERE queue = '} . ($_[0] // 'q') . q{'}); }

my $wait = q{CALL durable_work.wait_for_work('{q}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('q', 'w', 1)};

# Begins to wait as the last of so many.
sub sleeps {
    my ($session, $count) = @_;
    $session->send($wait);
    return wait_until($node, 'postgres', qq{SELECT sleeping = $count FROM durable_work.wakeups WHERE queue = 'q'});
}

my @sessions = map { new_session($node) } 1 .. $workers;
is(wakeups(), '0|0|0', 'nobody sleeps and nobody was woken');

# --- single jobs ----------------------------------------------------------------------------------
my $asleep = grep { sleeps($sessions[ $_ - 1 ], $_) } 1 .. $workers;
is($asleep, $workers, 'all workers sleep');
is(wakeups(), "$workers|0|0", 'and the server says so');
for my $n (1 .. $workers) {
    sql(qq(SELECT durable_work.enqueue('q', '{"n": $n}')));
    is($sessions[ $n - 1 ]->finish_sent, 'ok', "job $n wakes the worker that waits longest");
    is($sessions[ $n - 1 ]->output, $n, 'which gets it');
}
is(wakeups(), "0|$workers|0", 'as many wake-ups as jobs, none in vain');

# --- as many commits at once ------------------------------------------------------------------------
$asleep = grep { sleeps($sessions[ $_ - 1 ], $_) } 1 .. $workers;
is($asleep, $workers, 'all sleep again');
sql(qq(DO \$\$ BEGIN FOR n IN 1..$workers LOOP PERFORM durable_work.enqueue('q', jsonb_build_object('n', n)); COMMIT; END LOOP; END \$\$));
my %got;
for my $session (@sessions) {
    is($session->finish_sent, 'ok', 'a worker is woken');
    $got{ $session->output }++;
}
is(join(' ', sort { $a <=> $b } keys %got), join(' ', 1 .. $workers), 'each gets one of the jobs');
is(wakeups(), '0|' . 2 * $workers . '|0', 'again as many wake-ups as jobs, although each claim finds the next job behind its own');

# --- one commit with fewer jobs than there are workers ------------------------------------------------
$asleep = grep { sleeps($sessions[ $_ - 1 ], $_) } 1 .. $workers;
is($asleep, $workers, 'all sleep again');
sql(q{SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 5) n))});
my $first_five = 0;
for my $n (1 .. 5) {
    is($sessions[ $n - 1 ]->finish_sent, 'ok', 'one of the first five is woken');
    $first_five++ if $sessions[ $n - 1 ]->output =~ /^[1-5]$/;
}
is($first_five, 5, 'the first five have the jobs');
is(wakeups(), ($workers - 5) . '|' . (2 * $workers + 5) . '|0', 'and the others sleep on');

# --- a worker whose job somebody else takes keeps its place -----------------------------------------------
# It is stopped when the job comes: it is woken, and cannot claim before the other one does.
my ($unlucky, $next) = @sessions[ 5, 6 ];
signal_stopped($unlucky->pid);
sql(q{SELECT durable_work.enqueue('q', '{"n": "stolen"}')});
is(sql(q{SELECT payload->>'n' FROM durable_work.claim('q', 'thief', 1)}), 'stolen', 'a worker that does not sleep takes the job');
kill 'CONT', $unlucky->pid;
is($unlucky->finish_sent, 'ok', 'the one that was woken for it');
is($unlucky->output, '', 'finds nothing');
is(wakeups(), ($workers - 6) . '|' . (2 * $workers + 6) . '|1', 'that was in vain');
ok(sleeps($unlucky, $workers - 5), 'it waits again');
sql(q{SELECT durable_work.enqueue('q', '{"n": "for the unlucky"}')});
is($unlucky->finish_sent, 'ok', 'and is the first to be woken');
is($unlucky->output, 'for the unlucky', 'and gets the job');
sql(q{SELECT durable_work.enqueue('q', '{"n": "next"}')});
is($next->finish_sent, 'ok', 'then comes who waited behind it');
is($next->output, 'next', 'with the next job');

# --- one that goes away, and one that is served elsewhere, pass the wake on -----------------------------
my ($leaver, $heir) = @sessions[ 7, 8 ];
signal_stopped($leaver->pid);
sql(q{SELECT durable_work.enqueue('q', '{"n": "inherited"}')});
sql('SELECT pg_terminate_backend(' . $leaver->pid . ')');
kill 'CONT', $leaver->pid;
is($leaver->finish_sent, '57P01', 'a worker that was woken is terminated');
is($heir->finish_sent, 'ok', 'the next is woken instead');
is($heir->output, 'inherited', 'and gets the job');
is(wakeups(), ($workers - 9) . '|' . (2 * $workers + 10) . '|2', 'which is one wake-up more, in vain');

my $both = new_session($node);
$both->send(q{CALL durable_work.wait_for_work('{other,q}', '1 h')});
ok(wait_until($node, 'postgres', q{SELECT sleeping = 1 FROM durable_work.wakeups WHERE queue = 'other'}), 'a worker waits for two queues');
my $only = new_session($node);
$only->send(q{CALL durable_work.wait_for_work('{other}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('other', 'w', 1)});
ok(wait_until($node, 'postgres', q{SELECT sleeping = 2 FROM durable_work.wakeups WHERE queue = 'other'}), 'another one for one of them');
sql(q{SELECT durable_work.enqueue('other', '{"n": "of the other"}')});
is($both->finish_sent, 'ok', 'the first is woken');
is(sql(q{SELECT woken FROM durable_work.wakeups WHERE queue = 'other'}), '1', 'and only the first');
# All that sleep for q are woken, so that a job is left over for the one that owes its claim elsewhere.
sql(qq(SELECT count(*) FROM durable_work.enqueue_many('q', array_fill('{"n": "many"}'::jsonb, '{@{[ $workers ]}}'))));
is($both->query(q{SELECT queue, payload->>'n' FROM durable_work.claim('{q,other}'::text[], 'w', 1)}), 'q|many', 'it gets a job of the other queue first');
is($only->finish_sent, 'ok', 'and passes its wake on');
is($only->output, 'of the other', 'to the one that waits for that queue only');
is(wakeups('other'), '0|2|1', 'one wake-up more than jobs');

kill 'CONT', $housekeeper;
$_->quit for @sessions, $both, $only;
$node->stop;
done_testing();
