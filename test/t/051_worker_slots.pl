# max_worker_processes is exhausted: the log and health() say so, enqueues go on, and a slot that becomes free is
# taken without help.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

# One slot beside the launcher's.
my $node = new_server('slots', bare => 1, conf => [ 'max_worker_processes = 2', 'max_logical_replication_workers = 0' ]);
sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }
sub health_of { my ($check, $database) = @_; return sql(qq{SELECT severity, seen, advice FROM durable_work.health() WHERE "check" = '$check'}, $database); }

sub becomes {
    my ($check, $severity, $name, $database) = @_;
    ok(wait_until($node, $database // 'postgres', qq{SELECT severity FROM durable_work.health() WHERE "check" = '$check'}, $severity), $name)
      or diag(health_of($check, $database));
    return;
}

sql('CREATE EXTENSION durable_work');
becomes('housekeeper', 'ok', 'one database has its housekeeper');
add_helpers($node, 'postgres');

# --- a second database finds no slot ----------------------------------------------------------------
sql('CREATE DATABASE second');
sql(q{CREATE EXTENSION durable_work; SELECT durable_work.create_queue('q')}, 'second');
add_helpers($node, 'second');
becomes('housekeeper', 'critical', 'the second one has none', 'second');
like(health_of('housekeeper', 'second'), qr/no free slot for a background worker .*max_worker_processes is 2\|Raise max_worker_processes/, 'health() says why', );
# Once a minute at most, and a database that is only looked at may have been refused before.
$node->wait_for_log(qr/could not start a housekeeper.*There is no free slot.*HINT:  Raise max_worker_processes/s);
pass('the log says so too, with a hint');
like(health_of('housekeeper'), qr/^ok\|/, 'the first one is not concerned');

sql(q{SELECT durable_work.enqueue('q', jsonb_build_object('n', i)) FROM generate_series(1, 20) i}, 'second');
is(sql(q{SELECT string_agg(n, ',' ORDER BY n::int) FROM helper.claim('q', 5)}, 'second'), '1,2,3,4,5',
    'jobs are enqueued and handed out without a housekeeper, since the database was opened by CREATE EXTENSION');

# --- after a restart, too -----------------------------------------------------------------------------
sql(<<'SQL', $_) for qw(postgres second);
SELECT durable_work.create_queue('keyed', ordering => 'key', on_exhausted => 'hold', max_attempts => 1);
SELECT durable_work.enqueue('keyed', '{"n": 1}', partition_key => 'k');
SELECT durable_work.fail(job_id, token) FROM helper.claim('keyed', 1) AS c(job_id, token, n, attempt);
SQL
# Whichever comes first gets the slot; the other one waits.
$node->restart;
ok(wait_until($node, 'postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_work housekeeper'}), 'one of the two gets the slot');
my ($with, $without);
for (1 .. 18000) {
    ($with) = grep { health_of('housekeeper', $_) =~ /^ok\|/ } qw(postgres second);
    ($without) = grep { health_of('housekeeper', $_) =~ /^critical\|/ } qw(postgres second);
    last if $with && $without;
}
ok($with && $without, 'and health() tells which has not') or diag("with: $with, without: $without");
sql(q{SELECT durable_work.create_queue('q')}, $without) if $without eq 'postgres';
my $before = sql(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q' AND status = 'pending'}, $without);
sql(q{SELECT durable_work.enqueue('q', '{"n": "more"}')}, $without);
is(sql(q{SELECT count(*) FROM durable_work.inbox WHERE queue = 'q' AND status = 'pending'}, $without), $before + 1, 'it takes jobs');
is(sql(q{SELECT count(*) FROM durable_work.claim('q', 'w')}, $without), '0', 'but hands none out before there was a housekeeper');

is(state_of($node, $without, q{SELECT durable_work.unblock_key('keyed', 'k', 'dead_letter')}), 'DW006', 'a key cannot take its jobs along before there was a housekeeper');

# --- a slot becomes free --------------------------------------------------------------------------------
sql('DROP EXTENSION durable_work; DROP SCHEMA helper CASCADE', $with);
becomes('housekeeper', 'ok', 'the slot of the first is taken by the second without help', $without);
is(sql("SELECT count(*) FROM helper.claim('q', $before + 1)", $without), $before + 1, 'and all of its jobs are handed out');
is(state_of($node, $without, q{SELECT durable_work.unblock_key('keyed', 'k', 'dead_letter')}), 'ok', 'and the key may go on');

# --- not even a launcher ---------------------------------------------------------------------------------
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
my $log = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/too many background workers/, $log);
like(health_of('launcher', $without), qr/^critical\|the launcher is not running\|.*max_worker_processes is 0.*Raise it/, 'without room for the launcher health() says so');
like(health_of('housekeeper', $without), qr/^critical\|/, 'nor is there a housekeeper');
sql(q{SELECT durable_work.enqueue('q', '{"n": "last"}')}, $without);
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
is(sql(q{SELECT count(*) FROM helper.claim('q', 1)}, $without), '1', 'with room everything works again');
becomes('launcher', 'ok', 'and is well', $without);
$node->stop;

done_testing();
