# durable_work.notify_interval: clients that LISTEN are told of due work that nobody takes, by the
# housekeeper, at most once an interval and queue.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $interval = 0.05;
my $node = new_server('notify', conf => [ "durable_work.max_wait = '2 h'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

my $long = 'n' x 127;
sql(qq{SELECT durable_work.create_queue(q, lease => '1 h') FROM unnest('{q,marker,$long}'::text[]) q});

my $listener = new_session($node);
$listener->query('LISTEN durable_work');
my (%heard, %senders);

# Takes in what has come.
sub listen_once {
    my $output = $listener->query('SELECT pg_sleep(0.01)');
    while ($output =~ /^Asynchronous notification "durable_work" with payload "(.*)" received from server process with PID (\d+)\.$/mg) {
        $heard{$1}++;
        $senders{$2}++;
    }
    return;
}

# Until the queue has been heard of so many times more.
sub hears {
    my ($queue, $times) = @_;
    my $wanted = ($heard{$queue} // 0) + ($times // 1);
    for (1 .. 18000) {
        return 1 if ($heard{$queue} // 0) >= $wanted;
        listen_once();
    }
    return 0;
}

# Two rounds of the housekeeper begin and end: whatever was due before has been heard of then. The first
# notification may have been on its way.
sub rounds {
    sql(q{SELECT durable_work.enqueue('marker', '{}')});
    hears('marker', 3) or return 0;
    sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.claim('marker', 'w')});
    return 1;
}

sub set_interval {
    my ($value) = @_;
    sql("ALTER SYSTEM SET durable_work.notify_interval = '$value'");
    $node->reload;
    return ok(wait_until($node, 'postgres', q{SELECT setting FROM pg_settings WHERE name = 'durable_work.notify_interval'}, $value =~ s/ ?ms//r), "the interval is $value");
}

# --- off -----------------------------------------------------------------------------------------
is(sql('SHOW durable_work.notify_interval'), '0', 'it is off by default');
sql(q{SELECT durable_work.enqueue('q', '{"n": 1}')});
sql(q{NOTIFY durable_work, 'by hand'});
ok(hears('by hand'), 'the channel is an ordinary one');
is($heard{q}, undef, 'nothing is told while it is off');
%senders = ();

# --- on ------------------------------------------------------------------------------------------
set_interval('50ms');
ok(hears('q'), 'what is due already is told');
ok(hears('q', 3), 'again and again while nobody takes it');
is(join(',', keys %senders), housekeeper($node, 'postgres'), 'by the housekeeper, never by a producer');
sql(q{SELECT durable_work.complete(job_id, lease_token) FROM durable_work.claim('q', 'w')});
ok(rounds(), 'the job is taken');
my $before = $heard{q};
ok(rounds(), 'a while later');
is($heard{q}, $before, 'nothing more is told');

sql(q{SELECT durable_work.enqueue('q', '{"n": 2}')});
ok(hears('q'), 'a commit is told');
sql(q{SELECT * FROM durable_work.claim('q', 'w')});
sql(qq{SELECT durable_work.enqueue('$long', '{}')});
ok(hears($long), 'names that are longer than a channel may be are told whole');
sql(qq{SELECT durable_work.purge_queue('$long')});

# --- how often -------------------------------------------------------------------------------------
ok(rounds(), 'a while later');
($before, my $begun) = ($heard{q}, sql('SELECT clock_timestamp()'));
sql(q{DO $$ BEGIN FOR n IN 1..2000 LOOP PERFORM durable_work.enqueue('q', '{}'); COMMIT; END LOOP; END $$});
ok(hears('q'), 'a burst of commits is told');
listen_once();
my $passed = sql("SELECT extract(epoch FROM clock_timestamp() - '$begun')");
cmp_ok($heard{q} - $before, '<=', $passed / $interval + 1, 'at most once an interval, not once a commit');
sql(q{SELECT durable_work.purge_queue('q')});

# --- sleeping workers ------------------------------------------------------------------------------
my $worker = new_session($node);
my $take = q{CALL durable_work.wait_for_work('{q}', '1 h'); SELECT payload->>'n' FROM durable_work.claim('q', 'w', 1)};
ok(rounds(), 'a while later');
$before = $heard{q};
for my $n (1 .. 3) {
    $worker->send($take);
    ok(wait_until($node, 'postgres', q{SELECT sleeping = 1 FROM durable_work.wakeups WHERE queue = 'q'}), 'a worker sleeps');
    sql(qq(SELECT durable_work.enqueue('q', '{"n": $n}')));
    is($worker->finish_sent, 'ok', 'it is woken');
    is($worker->output, $n, 'and has the job');
}
ok(rounds(), 'a while later');
is($heard{q}, $before, 'what sleeping workers take is told to nobody');

# --- delays and pauses -----------------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('q', '{"n": "later"}', delay => '300 ms')});
ok(hears('q'), 'a job that comes due is told, without anybody asking');
is(sql(q{SELECT available_at <= clock_timestamp() FROM durable_work.inbox WHERE payload->>'n' = 'later'}), 't', 'not before its time');
sql(q{SELECT durable_work.pause_queue('q')});
ok(rounds(), 'the queue is paused');
$before = $heard{q};
ok(rounds(), 'a while later');
is($heard{q}, $before, 'nothing of a paused queue is told');
sql(q{SELECT durable_work.resume_queue('q')});
ok(hears('q'), 'but what is due when it is resumed');

# --- a start of the server ---------------------------------------------------------------------------
$listener->quit;
$worker->quit;
$node->restart;
%heard = ();
$listener = new_session($node);
$listener->query('LISTEN durable_work');
ok(hears('q'), 'what is loaded from the log is told');
ok(hears('q', 2), 'and goes on being told');

# --- off again -------------------------------------------------------------------------------------
set_interval('0');
ok(wait_until($node, 'postgres', q{SELECT severity = 'ok' FROM durable_work.health() WHERE "check" = 'housekeeping'}), 'nothing has failed');
$listener->quit;
$node->stop;
done_testing();
