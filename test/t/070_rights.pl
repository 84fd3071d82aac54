# Rights on queues outlive what privileges of the server outlive: a dump into another database or another server, DROP
# and CREATE EXTENSION take them with it, a standby knows them. A queue can be dropped while a dump runs.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('rights', init => { allows_streaming => 1 }, conf => [ 'max_prepared_transactions = 4' ]);
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE "the worker";
CREATE ROLE producer;
CREATE ROLE watcher;
SELECT durable_work.create_queue(name, lease => '1 h') FROM unnest('{before,q,other}'::text[]) AS name;
SELECT durable_work.drop_queue('before');
SELECT durable_work.grant_queue('q', 'the worker', 'work');
SELECT durable_work.grant_queue('q', 'the worker', 'monitor');
SELECT durable_work.grant_queue('other', 'producer', 'enqueue');
SELECT durable_work.grant_queue(NULL, 'watcher', 'monitor');
SELECT durable_work.enqueue('q', '{"n": 1}');
SQL
my $grants = q{SELECT string_agg(g::text, ' ' ORDER BY queue, role) FROM durable_work.queue_grants g};
my $given = $node->safe_psql('postgres', $grants);
is($given, '(other,producer,{enqueue}) (q,"the worker","{monitor,work}") (,watcher,{monitor})', 'given');

# SQLSTATE of a statement as a role, or 'ok'.
sub as {
    my ($server, $database, $role, $statement) = @_;
    return state_of($server, $database, qq{SET ROLE "$role"; $statement});
}

sub check {
    my ($server, $database, $what) = @_;
    is($server->safe_psql($database, $grants), $given, "$what: the same rights");
    is(as($server, $database, 'the worker', q{SELECT * FROM durable_work.claim('q', 'w')}), 'ok', "$what: the worker works");
    is(as($server, $database, 'the worker', q{SELECT * FROM durable_work.claim('other', 'w')}), 'DW002', "$what: on its own queue");
    is(as($server, $database, 'the worker', q{SELECT durable_work.enqueue('q', '1')}), '42501', "$what: and does nothing else");
    is(as($server, $database, 'producer', q{SELECT durable_work.enqueue('other', '1')}), 'ok', "$what: the producer produces");
    is(as($server, $database, 'producer', q{SELECT durable_work.enqueue('q', '1')}), 'DW002', "$what: into its own queue");
    is($server->safe_psql($database, q{SET ROLE watcher; SELECT string_agg(queue, ',' ORDER BY queue) FROM durable_work.queue_stats}), 'other,q', "$what: the watcher sees all");
    is(as($server, $database, 'watcher', q{SELECT 1 / count(payload) FROM durable_work.inbox}), '22012', "$what: but no payloads");
}
check($node, 'postgres', 'here');

# Dumps -----------------------------------------------------------------------------------------------------------------
for my $format (qw(custom plain)) {
    $node->command_ok([ 'pg_dump', "--format=$format", '--file', $file, 'postgres' ], "$format: pg_dump");
    $node->safe_psql('postgres', "CREATE DATABASE copy_$format");
    $node->command_ok($format eq 'custom' ? [ 'pg_restore', '--exit-on-error', '--dbname', "copy_$format", $file ]
          : [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', "copy_$format", '-f', $file ], "$format: restored");
    check($node, "copy_$format", "$format dump");
    is($node->safe_psql("copy_$format", q{SELECT durable_work.revoke_queue('q', 'the worker'); SELECT count(*) FROM durable_work.queue_grants}), "\n2", "$format: and taken again");
    is(as($node, "copy_$format", 'the worker', q{SELECT * FROM durable_work.claim('q', 'w')}), '42501', "$format: which counts");
}
# A queue that is made after a restore has none of the rights of those that came with it.
is($node->safe_psql('copy_plain', q{SELECT durable_work.create_queue('new'); SELECT count(*) FROM durable_work.queue_grants WHERE queue = 'new'}), "\n0", 'a new queue has a new number');

# Without its privileges, as for a copy that other people work on.
$node->safe_psql('postgres', 'CREATE DATABASE bare');
$node->command_ok([ 'pg_dump', '--format=custom', '--no-privileges', '--file', $file, 'postgres' ], 'pg_dump --no-privileges');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--dbname', 'bare', $file ], 'restored');
is($node->safe_psql('bare', "SELECT count(*) FROM durable_work.queue_grants"), '0', 'nobody has rights there');
is(as($node, 'bare', 'the worker', q{SELECT * FROM durable_work.claim('q', 'w')}), '42501', 'nor can the schema be used');
is($node->safe_psql('bare', q{SELECT durable_work.grant_queue('q', 'the worker', 'work'); SET ROLE "the worker"; SELECT payload FROM durable_work.claim('q', 'w')}), "\n" . '{"n": 1}', 'until they are given anew');

# Another server, which has one of the roles only. The other's number may be somebody else's there.
my $elsewhere = new_server('elsewhere', bare => 1);
$elsewhere->safe_psql('postgres', 'CREATE ROLE somebody; CREATE ROLE producer; CREATE ROLE watcher');
$node->command_ok([ 'pg_dump', '--file', $file, 'postgres' ], 'pg_dump');
my ($status, $out, $err) = $elsewhere->psql('postgres', "\\i $file", on_error_stop => 0);
like($err, qr/role "the worker" does not exist/, 'the missing role is told');
unlike($err =~ s/^.*role "the worker" does not exist.*$//mgr, qr/ERROR/, 'and nothing else fails');
is($elsewhere->safe_psql('postgres', $grants), '(other,producer,{enqueue}) (,watcher,{monitor})', 'the others have their rights');
is($elsewhere->safe_psql('postgres', q{SET ROLE producer; SELECT inserted FROM durable_work.enqueue('other', '1')}), 't', 'which count');
$elsewhere->stop;

# While somebody looks at the tables, as pg_dump does, queues are dropped all the same ------------------------------------
my $reader = new_session($node);
$reader->query('BEGIN; LOCK TABLE durable_work.queue_right IN ACCESS SHARE MODE');
my $tables = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'durable_work.queue_right'::regclass};
$node->safe_psql('postgres', q{SET lock_timeout = '30s'; SELECT durable_work.create_queue('short'); SELECT durable_work.grant_queue('short', 'producer', 'work'); SELECT durable_work.drop_queue('short')});
is($node->safe_psql('postgres', $tables), '3', 'its table of rights stays for now');
is($node->safe_psql('postgres', q{SELECT has_function_privilege('producer', 'durable_work.complete(bigint, bigint, jsonb)', 'EXECUTE')}), 'f', 'and means nothing');
is($node->safe_psql('postgres', $grants), $given, 'it is not shown');
$reader->query('COMMIT');
$node->safe_psql('postgres', q{SELECT durable_work.create_queue('short'); SELECT durable_work.drop_queue('short')});
is($node->safe_psql('postgres', $tables), '2', 'the next queue that is dropped takes it along');
$reader->quit;

# A prepared grant counts from COMMIT PREPARED on.
$node->safe_psql('postgres', q{BEGIN; SELECT durable_work.grant_queue('q', 'producer', 'enqueue'); PREPARE TRANSACTION 'grant'});
is(as($node, 'postgres', 'producer', q{SELECT durable_work.enqueue('q', '1')}), 'DW002', 'a prepared grant does not count yet');
$node->safe_psql('postgres', q{COMMIT PREPARED 'grant'});
is(as($node, 'postgres', 'producer', q{SELECT durable_work.enqueue('q', '1')}), 'ok', 'then it does');
$node->safe_psql('postgres', q{SELECT durable_work.revoke_queue('q', 'producer')});

# A standby -------------------------------------------------------------------------------------------------------------
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', $grants), $given, 'a standby has the rights');
is($standby->safe_psql('postgres', q{SET ROLE "the worker"; SELECT string_agg(queue, ',') FROM durable_work.queues}), 'q', 'and heeds them');
my $looker = new_session($standby);
is($looker->query(q{SET ROLE "the worker"; SELECT count(*) FROM durable_work.inbox}), '2', 'sessions see what they may');
$node->safe_psql('postgres', q{SELECT durable_work.revoke_queue('q', 'the worker', 'monitor'); SELECT durable_work.revoke_queue('q', 'the worker', 'work')});
$node->wait_for_catchup($standby);
is($looker->try('SELECT count(*) FROM durable_work.inbox'), '42501', 'until it is taken from them on the primary');
$looker->quit;
$standby->stop;

# Where the library is not preloaded, the views of tables show the same.
$node->safe_psql('postgres', q{SELECT durable_work.grant_queue('q', 'the worker', 'work')});
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->safe_psql('postgres', q{SET ROLE "the worker"; SELECT string_agg(queue, ',') FROM durable_work.queues}), 'q', 'not preloaded: its own queues');
is(as($node, 'postgres', 'the worker', q{SELECT * FROM durable_work.claim('q', 'w')}), 'DW007', 'and no work');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'durable_work'");
$node->restart;

# The extension takes the rights with it ----------------------------------------------------------------------------------
# While the housekeeper loads after a start, the two may wait for each other's locks and one of them be told so.
$node->poll_query_until('postgres', q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}) or die 'the queues were not loaded';
is(state_of($node, 'postgres', 'DROP EXTENSION durable_work'), 'ok', 'DROP EXTENSION needs no CASCADE');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace}), '0', 'and leaves nothing behind');
my $roles = q{SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles};
my $before = $node->safe_psql('postgres', $roles);
is(state_of($node, 'postgres', 'CREATE EXTENSION durable_work'), 'ok', 'it can be made again');
is($node->safe_psql('postgres', $roles), $before, 'which makes no roles');
is($node->safe_psql('postgres', q{SELECT count(*) FROM durable_work.queue_grants}), '0', 'with no rights for anybody');
is(as($node, 'postgres', 'producer', q{SELECT durable_work.library_version()}), '42501', 'on nothing');

$node->stop;
done_testing();
