# What a role cannot do to others, who have no more rights than the server gives everybody, or a right on a queue of its own:
# keep the housekeeper from its work, or take what there is for all.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('one_role');
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

$node->stop;
done_testing();
