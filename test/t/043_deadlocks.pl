# Somebody locks tables in an order of his own, as DROP EXTENSION does, and the housekeeper in the middle of a transaction is
# the one that closes the circle: it is the housekeeper that gives way, and does its work a moment later.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

# Whoever waits for longer than this looks whether there is a deadlock, and gives way.
my $node = new_server('deadlocks', conf => [q{deadlock_timeout = '800 ms'}]);
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub waits_for { return "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = $_[0] AND relation = 'durable_work.$_[1]'::regclass)"; }

sql(q{SELECT durable_work.create_queue('graves'); SELECT durable_work.create_queue('q', max_attempts => 1, dead_letter_queue => 'graves')});
my $keeper = housekeeper($node, 'postgres');
my $first = new_session($node);
my $other = new_session($node);
my $seen = '';
# The housekeeper waits for a lock for a second. Where the machine is so slow that the others are not in their places by then,
# nothing is shown, and it is tried again.
for my $try (1 .. 8) {
    $other->query('BEGIN; LOCK TABLE durable_work.outcome_0 IN SHARE MODE');
    sql(q{SELECT durable_work.enqueue('q', '{}')});
    $first->query('BEGIN; LOCK TABLE durable_work.job_0 IN SHARE MODE');
    # It buries the job when the lease has ended: it has written the dead letter, waits to write the copy, and the outcome is next.
    ok(wait_until($node, 'postgres', q{SELECT count(*) = 1 FROM durable_work.claim('q', 'w', lease => '10 ms')}), "$try: a job is claimed");
    ok(wait_until($node, 'postgres', 'SELECT ' . waits_for($keeper, 'job_0')), "$try: the housekeeper waits") or last;
    $other->send('LOCK TABLE durable_work.dead_letter IN ACCESS EXCLUSIVE MODE; COMMIT');
    wait_until($node, 'postgres', 'SELECT ' . waits_for($other->pid, 'dead_letter') . ' OR NOT ' . waits_for($keeper, 'job_0'));
    $first->query('COMMIT');
    is($other->finish_sent, 'ok', "$try: whoever locks them in another order gets them") or diag($other->errors);
    $other->try('ROLLBACK');
    $seen = sql(q{SELECT seen FROM durable_work.health() WHERE "check" = 'housekeeping'});
    last if $seen =~ /deadlock detected/;
}
like($seen, qr/40P01 deadlock detected/, 'the housekeeper gave way');
ok(wait_until($node, 'postgres', q{SELECT count(*) = (SELECT count(*) FROM durable_work.inbox WHERE queue = 'q') FROM durable_work.dead_letters}), 'and has buried the job since');
$_->quit for $first, $other;
$node->stop;
done_testing();
