# Each duty of the housekeeper fails again and again: health() says which and why, other databases and the other duties go on, and when what
# was wrong is mended the duty goes on by itself, with nothing lost.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('duties', conf => [ 'max_prepared_transactions = 5', "durable_work.notify_interval = '100 ms'" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }

arm_point($node, 'pre-commit', 'error', 1);
my $armed = state_of($node, 'postgres', q{SELECT durable_work.create_queue('mail', max_attempts => 1, lease => '1 h')});
if (-e point_file($node)) {
    unlink point_file($node);
    $node->stop;
    plan skip_all => 'needs a build with DW_TEST_POINTS=1';
}
is($armed, '53200', 'a commit that fails at a test point raises an error');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION durable_work');
ok(wait_until($node, $_, q{SELECT bool_and(severity = 'ok') FROM durable_work.health()}), "everything is well in $_") for qw(postgres other);

sql(q{SELECT durable_work.create_queue('mail', max_attempts => 1, lease => '1 h'); SELECT durable_work.create_queue('told')});
sub seen { return $node->safe_psql($_[0], q{SELECT seen FROM durable_work.health() WHERE "check" = 'housekeeping'}); }

# fails_and_goes_on(DUTY, WORDS, SQL): in the SQL's own session the duty is called for.
sub fails_and_goes_on {
    my ($duty, $words, $call) = @_;
    arm_point($node, "duty-$duty", 'errors', 1);
    sql($call);
    ok(wait_until($node, 'postgres', qq{SELECT seen ~ '$words fails: 53200 test point point:duty-$duty' FROM durable_work.health() WHERE "check" = 'housekeeping'}),
        "health() tells that $duty fails")
      or diag(seen('postgres'));
    like(seen('other'), qr/^nothing/, 'and not in another database');
    is(sql(q{SELECT durable_work.enqueue('mail', '{"n": 0}') IS NOT NULL}), 't', 'jobs are taken');
    is(sql(q{SELECT string_agg(durable_work.complete(job_id, lease_token)::text, ' ') FROM helper.claim('mail', 1)}), 'true', 'and handed out, and completed');
    unlink point_file($node) or die;
    ok(wait_until($node, 'postgres', q{SELECT seen ~ '^nothing' FROM durable_work.health() WHERE "check" = 'housekeeping'}), "$duty goes on")
      or diag(seen('postgres'));
    return;
}

# A pass of it is followed by a rest that grows while there is nothing to be done, so it comes first.
fails_and_goes_on('prune', 'removing what is past its time', q{SELECT durable_work.mark_handled('h', 'k', '1 s')});
ok(wait_until($node, 'postgres', q{SELECT count(*) = 0 FROM durable_work.handled}), 'what was past its time is gone');

fails_and_goes_on('catalog', 'reading the queues', q{SELECT durable_work.create_queue('late')});
is(sql(q{SELECT durable_work.enqueue('late', '{"n": 1}') IS NOT NULL}), 't', 'the queue is there');
is(sql(q{SELECT n FROM helper.claim('late', 1)}), '1', 'and served');

fails_and_goes_on('load', 'loading jobs', q{SELECT durable_work.create_queue('later')});
fails_and_goes_on('count', 'counting jobs', 'SELECT durable_work.reload()');
fails_and_goes_on('sweep', 'ending leases', q{SELECT durable_work.enqueue('late', '{"n": 2}'); SELECT n FROM helper.claim('late', 1, lease => '1 s')});
ok(wait_until($node, 'postgres', q{SELECT expired = 1 FROM durable_work.queue_stats WHERE queue = 'late'}), 'a lease that ended meanwhile is over');
fails_and_goes_on('rotate', 'following and emptying the log.s segments', 'SELECT durable_work.reload()');
fails_and_goes_on('summary', 'summarising indexes', q{SELECT durable_work.enqueue('told', '{}')});

my $listener = new_session($node);
$listener->query('LISTEN durable_work');
fails_and_goes_on('announce', 'sending notifications', q{SELECT durable_work.enqueue('told', '{}')});
my $told = '';
for (1 .. 1800) {
    last if $told =~ /Asynchronous notification "durable_work" with payload "told"/;
    $told .= $listener->query('SELECT 1');
    select undef, undef, undef, 0.1;
}
like($told, qr/Asynchronous notification "durable_work" with payload "told"/, 'who listens was told afterwards');

sql(q{SELECT durable_work.register_worker('w', '{told}')});
fails_and_goes_on('workers', 'following registered workers', q{SELECT durable_work.drain_worker('w', '0 s')});
ok(wait_until($node, 'postgres', 'SELECT count(*) = 0 FROM durable_work.workers'), 'the drained worker is gone');

fails_and_goes_on('prepared', 'finishing prepared transactions', <<'SQL');
BEGIN; SELECT durable_work.enqueue('late', '{"n": 3}'); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'
SQL
is(sql(q{SELECT string_agg(n, ' ' ORDER BY n) FROM helper.claim('late', 2)}), '2 3', 'its job is handed out');

sql(q{SELECT durable_work.enqueue('mail', '{"n": 4}'); SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM helper.claim('mail', 1)});
fails_and_goes_on('redrive', 'redriving dead letters', q{SELECT durable_work.redrive('mail', rate_per_second => 100)});
is(sql(q{SELECT n FROM helper.claim('mail', 1)}), '4', 'the dead letter is back');

# --- one redrive fails, not the duty ----------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('mail', '{"n": 5}'); SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM helper.claim('mail', 1)});
arm_point($node, 'redrive-step', 'errors', 1);
sql(q{SELECT durable_work.redrive('mail', rate_per_second => 100)});
ok(wait_until($node, 'postgres', q{SELECT state = 'failed' FROM durable_work.redrive_task ORDER BY id DESC LIMIT 1}), 'a redrive that fails each time is given up');
like($node->safe_psql('postgres', q{SELECT seen FROM durable_work.health() WHERE "check" = 'redrives'}), qr/test point point:redrive-step/, 'health() says why');
is(sql(q{SELECT count(*) FROM durable_work.dead_letters}), '1', 'its dead letter is where it was');
unlink point_file($node) or die;
sql(q{SELECT durable_work.redrive('mail', rate_per_second => 100)});
is(sql(q{SELECT n FROM helper.claim('mail', 1)}), '5', 'another one takes it');

$listener->quit;
$node->stop;
done_testing();
