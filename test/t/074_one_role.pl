# What a role cannot do to others, who have no more rights than the server gives everybody, or a right on a queue of its own:
# keep the housekeeper from its work, or take what there is for all.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('one_role', conf => ['durable_work.max_resident_jobs = 8192']);
$node->safe_psql('postgres', 'CREATE ROLE nobody');
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', <<'SQL');
CREATE EXTENSION durable_work;
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 1000, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT durable_work.enqueue('q', '{"n": 1}');
SQL

# Only the housekeeper takes an expired lease back.
sub leases_expire {
    my ($what) = @_;
    $node->safe_psql('shop', q{SELECT count(*) FROM durable_work.claim('q', 'w', lease => '1 ms')}) eq '1' or die 'there is nothing to claim';
    return ok(wait_until($node, 'shop', q{SELECT ready = 1 FROM durable_work.queue_stats WHERE queue = 'q'}), $what);
}
leases_expire('the housekeeper works');

# Statements about another database: the housekeeper makes room for them, but only if they may be run -------------------------
my $keeper = housekeeper($node, 'shop');
my $open = new_session($node);
$open->query('SET ROLE nobody; BEGIN');
for my $statement ('ALTER DATABASE shop RENAME TO other', 'ALTER DATABASE shop SET TABLESPACE pg_default', 'ALTER DATABASE shop ALLOW_CONNECTIONS true',
    'CREATE DATABASE other TEMPLATE shop', 'DROP DATABASE shop') {
    $open->query('SAVEPOINT s');
    like($open->try($statement), qr/^(42501|25001)$/, "refused: $statement");
    $open->query('ROLLBACK TO SAVEPOINT s');
}
leases_expire('while a transaction that was refused is open the housekeeper works');
is(housekeeper($node, 'shop'), $keeper, 'and is still the same');
$open->query('ROLLBACK');
for my $statement ('CREATE DATABASE other TEMPLATE shop', 'ALTER DATABASE shop SET TABLESPACE pg_default', 'DROP DATABASE shop') {
    is($open->try($statement), '42501', "refused outside of a transaction block: $statement");
}
# Somebody who may copy a database: not one that is neither a template nor its own.
$node->safe_psql('postgres', 'ALTER ROLE nobody CREATEDB');
is($open->try('CREATE DATABASE other TEMPLATE shop'), '42501', 'refused with CREATEDB: CREATE DATABASE');
is($open->try('ALTER DATABASE shop RENAME TO other'), '42501', 'refused with CREATEDB: ALTER DATABASE RENAME');
leases_expire('the housekeeper works');
is(housekeeper($node, 'shop'), $keeper, 'and is still the same');
$open->quit;
# Who may is served: the server copies and renames a database only if nobody is connected to it.
is(state_of($node, 'postgres', 'CREATE DATABASE other TEMPLATE shop'), 'ok', 'a superuser copies the database');
is(state_of($node, 'postgres', 'ALTER DATABASE other OWNER TO nobody'), 'ok', 'and gives the copy away');
is(state_of($node, 'postgres', 'SET ROLE nobody; ALTER DATABASE other RENAME TO another'), 'ok', 'whose owner renames it');
is(state_of($node, 'postgres', 'SET ROLE nobody; CREATE DATABASE third TEMPLATE another'), 'ok', 'and copies it');
is(state_of($node, 'postgres', 'SET ROLE nobody; DROP DATABASE another'), 'ok', 'and drops it');
leases_expire('the housekeeper works');

# What there is for all --------------------------------------------------------------------------------------------------
$node->safe_psql('shop', <<'SQL');
CREATE ROLE flood;
CREATE ROLE other;
SELECT durable_work.create_queue('flood', lease => '1 h'), durable_work.create_queue('calm', lease => '1 h');
SELECT durable_work.grant_queue('flood', 'flood', r), durable_work.grant_queue('calm', 'other', r) FROM unnest('{enqueue,work,operate,monitor}'::text[]) r;
SQL
# Sessions of the two.
my $flood = new_session($node, 'shop');
my $other = new_session($node, 'shop');
$flood->query('SET ROLE flood');
$other->query('SET ROLE other');

# Room in memory: three times as many jobs as there is room for, and those of another queue are handed out as if there were none.
is($flood->query(q{SELECT count(*) FROM durable_work.enqueue_many('flood', array_fill('{"n": 0}'::jsonb, '{24000}'))}), '24000', 'a queue is flooded');
ok(wait_until($node, 'shop', q{SELECT spilled > 0 FROM durable_work.queue_stats WHERE queue = 'flood'}), 'so that some of it is on disk only');
is($other->query(q{SELECT count(*) FROM durable_work.enqueue_many('calm', array_fill('{"n": 1}'::jsonb, '{1000}'))}), '1000', 'another queue has jobs then');
is($other->query(q{SELECT spilled FROM durable_work.queue_stats WHERE queue = 'calm'}), '0', 'which are in memory');
is($other->query(q{SELECT count(*) FROM durable_work.claim('calm', 'known', 900)}), '900', 'and are handed out');

# Names that hold leases: 4096 for all; whoever holds one is served on, and a name is free when its last lease has ended.
$flood->query(q{SELECT count(*) FROM durable_work.claim('flood', 'one', 1)});
is($flood->try(q{SELECT count(*) FROM generate_series(1, 4200) AS i, LATERAL durable_work.claim('flood', 'w' || i, 1)}), '53400', 'there is an end to names of workers');
cmp_ok($flood->query(q{SELECT count(*) FROM generate_series(1, 4000) AS i, LATERAL durable_work.claim('flood', 'v' || i, 1)}), '>', 100, 'many of them are taken');
is($other->query(q{SELECT count(*) FROM durable_work.claim('calm', 'known', 10)}), '10', 'who is there already is served');
$flood->query(q{SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases});
is($other->query(q{SELECT count(*) FROM durable_work.claim('calm', 'new', 10)}), '10', 'and when they are given back a new name is');

# How much one call may ask for.
my @sizes = (
    q{durable_work.claim('calm', 'w', 10001)} => qr/max_jobs must be between 1 and 10000, not 10001/,
    q{durable_work.claim(array_fill('calm'::text, '{65}'), 'w')} => qr/queues must have at most 64 elements, not 65/,
    q{durable_work.claim('calm', 'w', wait => '6 s')} => qr/wait must be at most 5 seconds/,
    q{durable_work.enqueue_many('calm', array_fill('1'::jsonb, '{100001}'))} => qr/payloads must have at most 100000 elements, not 100001/,
    q{durable_work.complete_many(array_fill(1::bigint, '{100001}'), array_fill(1::bigint, '{100001}'))} => qr/job_ids must have at most 100000 elements, not 100001/,
    q{durable_work.fail_many(array_fill(1::bigint, '{100001}'), array_fill(1::bigint, '{100001}'))} => qr/job_ids must have at most 100000 elements, not 100001/,
    q{durable_work.redrive('calm', array_fill(1::bigint, '{100001}'))} => qr/job_ids must have at most 100000 elements, not 100001/,
    q{durable_work.register_worker('w', array_fill('calm'::text, '{65}'))} => qr/queues must have at most 64 elements, not 65/,
    q{durable_work.register_worker('w', '{calm}', labels => jsonb_build_object('a', repeat('x', 8200)))} => qr/labels must be at most 8192 bytes long, not 8217/,
    q{durable_work.hot_keys('calm', 10001)} => qr/max_rows must be between 1 and 10000, not 10001/,
    q{durable_work.ring_simulate(array_fill('a'::text, '{1025}'))} => qr/workers must have at most 1024 elements, not 1025/,
    q{durable_work.ring_simulate('{a}', vnodes => 1025)} => qr/vnodes must be between 1 and 1024, not 1025/,
    q{durable_work.enqueue('calm', to_jsonb(repeat('x', 1100000)))} => qr/payload is too large/,
    q{durable_work.enqueue('calm', '1', headers => jsonb_build_object('a', repeat('x', 70000)))} => qr/headers are too large/,
    q{durable_work.fail(1, 1, to_jsonb(repeat('x', 1100000)))} => qr/error must be at most 1048576 bytes, not 1100008/,
    q{durable_work.reject(1, 1, repeat('x', 1025))} => qr/reason must be 1 to 1024 bytes long, not 1025/,
    q{durable_work.set_progress(1, 1, to_jsonb(repeat('x', 1001)))} => qr/progress must be at most 1000 bytes long, not 1009/,
    q{durable_work.claim('calm', 'w', request_id => repeat('x', 256))} => qr/request_id must be 1 to 255 bytes long, not 256/,
);
my ($script, @wanted) = ('SET ROLE other;');
while (my ($call, $error) = splice @sizes, 0, 2) {
    $script .= "\nSELECT $call;";
    push @wanted, [ $call, $error ];
}
my ($status, $out, $err) = $node->psql('shop', $script, on_error_stop => 0);
my @errors = $err =~ /ERROR:  (.*)/g;
like(shift @errors, $_->[1], "an end to $_->[0]") for @wanted;

# A filter that takes its time holds nobody up, and ends as any statement does: each of 20000 numbers with each.
$other->query(q{SELECT durable_work.enqueue('calm', (SELECT jsonb_agg(i) FROM generate_series(1, 20000) AS i))});
$other->query(q{SET statement_timeout = '200 ms'});
is($other->try(q{SELECT durable_work.cancel_many('calm', filter => '$.payload[*] ? (exists ($.payload[*] ? (@ == -1)))')}), '57014', 'a slow filter heeds the statement timeout');
$other->query('RESET statement_timeout');

# Redrives at a rate: 16 run at the same time, whatever queue has asked for how many first.
for my $session ($flood, $other) {
    my $queue = $session == $flood ? 'flood' : 'calm';
    $session->query(qq{SELECT durable_work.reject(job_id, lease_token, 'why') FROM durable_work.claim('$queue', 'known', 40)});
}
is($flood->query(q{SELECT count(durable_work.redrive('flood', rate_per_second => 0.001)) FROM generate_series(1, 20)}), '20', 'one queue has twenty slow redrives');
is($other->query(q{SELECT durable_work.redrive('calm', rate_per_second => 1000)}), '40', 'another asks for one then');
ok(wait_until($node, 'shop', q{SELECT state = 'done' FROM durable_work.redrives WHERE queue = 'calm'}), 'and gets it');
is($node->safe_psql('shop', q{SELECT count(*) FROM durable_work.redrives WHERE queue = 'flood' AND state = 'running'}), '20', 'while the slow ones are still under way');
$_->quit for $flood, $other;

$node->stop;
done_testing();
