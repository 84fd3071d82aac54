# Library and SQL of different versions: one clear error that says what to do, or refusal of the step that would lead
# there; never half of it. The other version is made of scripts: to the library it is one that it does not know.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;
use Installation;

my $installation = new_installation();
my $current = $installation->current;
my $newer = '99.0.0';
# What every update script begins with, out of one of those that are installed.
my ($any) = grep { $_ ne $current } $installation->released;
my $checks = $installation->read_script("$any--$current");
$checks =~ s/^\$library_fits\$;\n\K.*//ms or die 'the update script checks nothing';
my $add = "COMMENT ON VIEW durable_work.queues IS 'another version';\n";
# Checked, as all of ours are; and past the check, as the older library finds a newer database in its data directory.
$installation->write_script("$current--$newer", $checks . $add);
$installation->write_script("$current--98.0.0", $add);
$installation->write_script("98.0.0--$current", $add);
$installation->write_script("$current--old", $add);
$installation->write_script("old--$current", $add);
$installation->write_script("$current--0.0.9", $add);
$installation->write_script("0.0.9--$current", $add);
$installation->write_script($newer, $installation->read_script($current));

my $node = new_server('versions', installation => $installation, conf => [ "log_line_prefix = '%m [%p] %b: '" ]);
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql(q{SELECT durable_work.create_queue('q', lease => '1 h')});

# Steps that are refused ------------------------------------------------------------------------------------------------
is(state_of($node, 'postgres', "ALTER EXTENSION durable_work UPDATE TO '$newer'"), 'DW007', 'an update to a version that is newer than the library is refused');
like(message_of($node, 'postgres', "ALTER EXTENSION durable_work UPDATE TO '$newer'"), qr/do not fit.*of version \Q$current\E, this script is of version \Q$newer\E.*Restart the server/s,
    'which names both versions and the restart');
is(sql(q{SELECT extversion FROM pg_extension WHERE extname = 'durable_work'}), $current, 'nothing has changed');
is(sql(q{SELECT durable_work.enqueue('q', '{"n": 1}') IS NOT NULL}), 't', 'work goes on');
sql('CREATE DATABASE other');
is(state_of($node, 'other', "CREATE EXTENSION durable_work VERSION '$newer'"), 'DW007', 'CREATE EXTENSION of a newer version too');
is($node->safe_psql('other', q{SELECT count(*) FROM pg_extension WHERE extname = 'durable_work'}), '0', 'nothing is left of it');

# A library that was replaced on disk ---------------------------------------------------------------------------------
# The server has loaded the old one. The new one is garbage, so whoever loaded it would notice.
my $library = slurp_file($installation->library);
$installation->replace_library('not a library');
my $session = new_session($node);
is($session->query('SELECT durable_work.library_version()'), $current, 'a new session has the library that was loaded at the start');
is($session->query(q{SELECT n FROM helper.claim('q', 1)}), '1', 'and works with it');
my $pid = housekeeper($node, 'postgres');
kill 'TERM', $pid or die;
ok(wait_until($node, 'postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'durable_work housekeeper' AND pid <> $pid AND datname = 'postgres'"), 'so does a new housekeeper');
is(state_of($node, 'other', 'CREATE EXTENSION durable_work'), 'ok', 'and CREATE EXTENSION');
is($node->safe_psql('other', q{SELECT durable_work.create_queue('q'); SELECT inserted FROM durable_work.enqueue('q', '{}')}), "\nt", 'in whose database work begins');
is(state_of($node, 'postgres', q{CREATE FUNCTION public.health() RETURNS void LANGUAGE c AS '$libdir/durable_work', 'durable_work_not_there'}), '42883', 'a function that only the new one may have cannot be made');
# A crash of one process does not bring another library in.
kill 'KILL', $session->pid;
$session->quit;
ok(wait_until($node, 'postgres', 'SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ' . $session->pid . ')'), 'the server comes back');
is(sql('SELECT durable_work.library_version()'), $current, 'after a crash the library is the same');
$installation->replace_library($library);
$node->restart;
is(sql(q{SELECT bool_and(durable_work.complete(job_id, lease_token)) FROM helper.claim('q', 1)}), 't', 'after a restart with the library back, too');

# SQL of a version that the library does not serve --------------------------------------------------------------------
# Every function that is called by users, with nulls: none may get as far as to look at them. health() says what is wrong, and may()
# is asked by views that show tables only.
my $calls = q{SELECT string_agg(CASE WHEN prokind = 'p' THEN 'CALL ' ELSE 'SELECT * FROM ' END || p.oid::regproc || '('
    || (SELECT coalesce(string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n), '') FROM unnest(proargtypes) WITH ORDINALITY AS a (t, n)) || ')', ';' ORDER BY p.oid)
    FROM pg_proc p WHERE pronamespace = 'durable_work'::regnamespace AND prorettype <> 'trigger'::regtype
    AND proname NOT IN ('library_version', 'attach_database', 'bucket', 'shard_key', 'ring_simulate', 'ring_moved', 'outcome_members', 'health', 'may')};

for my $case ([ '98.0.0', qr/Restart the server if the newer version's files are installed; if not, install them first/ ],
    [ '0.0.9', qr/Run ALTER EXTENSION durable_work UPDATE in this database/ ], [ 'old', qr/Install the files of one version, restart the server, and run ALTER EXTENSION/ ]) {
    my ($version, $hint) = @$case;
    my $before = new_session($node);
    $before->query(q{SELECT durable_work.enqueue('q', '{"n": "before"}')});
    $before->query(q{TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim('q', 1)});
    # Enqueues and completes before the version changes, and commits after it.
    $before->query(q{SELECT durable_work.enqueue('q', '{"n": "decided"}')});
    my $open = new_session($node);
    $open->query(q{BEGIN; SELECT durable_work.enqueue('q', '{"n": "between"}'); SELECT durable_work.complete(job_id, lease_token) FROM helper.claim('q', 1)});
    my $waiting = new_session($node);
    $waiting->send(q{CALL durable_work.wait_for_work('{q}', '60 s')});
    ok(wait_until($node, 'postgres', 'SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = ' . $waiting->pid . q{ AND wait_event_type = 'Extension'}), "$version: a worker waits");

    my $log = -s $node->logfile;
    my $keeper = housekeeper($node, 'postgres');
    is(state_of($node, 'postgres', "ALTER EXTENSION durable_work UPDATE TO '$version'"), 'ok', "$version: the update itself works");
    $node->wait_for_log(qr/housekeeper: LOG:.*library and SQL versions of durable_work do not fit/, $log);
    ok(wait_until($node, 'postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type ~ 'housekeeper' AND datname = 'postgres'}), "$version: the housekeeper leaves");

    my $after = new_session($node);
    for my $who ([ 'a session from before', $before ], [ 'a new session', $after ]) {
        my ($name, $one) = @$who;
        my @answers = map { "$_: " . $one->try($_) } split /;/, $one->query($calls);
        cmp_ok(scalar @answers, '>', 40, "$version: all functions are called");
        is(join("\n", grep { !/: DW007$/ } @answers), '', "$version: $name is refused by every function");
        like($one->errors, qr/DETAIL:.*of version \Q$current\E, the extension in database "postgres" of version \Q$version\E/, "$version: with both versions");
        like($one->errors, $hint, "$version: and what to do");
        is($one->try(q{INSERT INTO durable_work.inbox (queue, payload) VALUES ('q', '{}')}), 'DW007', "$version: $name: the inbox refuses");
        is($one->query('SELECT durable_work.library_version()'), $current, "$version: $name: the library tells its version");
        is($one->query(q{SELECT count(*) FROM durable_work.queues}), '1', "$version: $name: tables can be read");
    }
    is($open->try('COMMIT'), 'ok', "$version: an open transaction can commit what it did");
    # Rows of a restore do no harm, and their triggers none to the restore.
    is($after->try(q{INSERT INTO durable_work.topic SELECT 7777, 'restored', '1 h', 3;
        INSERT INTO durable_work.queue SELECT 7777, 'restored', 7777, lease, backoff, backoff_base, backoff_cap, jitter, delivery, max_length, overflow, retention, NULL, durable_claims, strict, max_runtime, max_payload FROM durable_work.queue WHERE name = 'q'}),
        'ok', "$version: rows can be restored");
    $node->command_ok([ 'pg_dump', '--file', PostgreSQL::Test::Utils::tempdir . '/dump', 'postgres' ], "$version: and dumped");
    # A housekeeper may come between the two things that a commit tells the launcher; it is not one after the other.
    cmp_ok(scalar(() = slurp_file($node->logfile, $log) =~ /housekeeper: LOG:.*do not fit/g), '<=', 2, "$version: the log does not repeat it");

    is(state_of($node, 'postgres', "ALTER EXTENSION durable_work UPDATE TO '$current'"), 'ok', "$version: back to what the library serves");
    ok(housekeeper($node, 'postgres'), "$version: a housekeeper comes by itself");
    is($waiting->finish_sent, 'ok', "$version: the worker that waited is woken");
    is($before->query(q{SELECT n || durable_work.complete(job_id, token) FROM helper.held}), 'beforetrue', "$version: a lease from before is still one");
    is($before->query(q{TRUNCATE helper.held; INSERT INTO helper.held SELECT * FROM helper.claim('q', 1); SELECT n || durable_work.complete(job_id, token) FROM helper.held}), 'betweentrue', "$version: nothing is lost");
    is($before->query(q{SELECT count(*) FROM durable_work.claim('q', 'w', 10)}), '0', "$version: and nothing comes twice");
    is($after->query(q{SELECT durable_work.drop_queue('restored')}), '', "$version: the restored queue is known");
    $_->quit for $before, $after, $open, $waiting;
}

# Started like that ----------------------------------------------------------------------------------------------------
sql(q{SELECT durable_work.enqueue('q', '{"n": "kept"}')});
sql(q{ALTER EXTENSION durable_work UPDATE TO '98.0.0'});
my $log = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/housekeeper: LOG:.*do not fit/, $log);
is(state_of($node, 'postgres', q{SELECT durable_work.claim('q', 'w')}), 'DW007', 'started with SQL of another version: refused');
is($node->safe_psql('other', q{SELECT count(*) FROM durable_work.claim('q', 'w')}) >= 0, 1, 'another database of the same server is served');
is(state_of($node, 'postgres', 'BEGIN; DROP EXTENSION durable_work; ROLLBACK'), 'ok', 'the extension could be dropped');
sql("ALTER EXTENSION durable_work UPDATE TO '$current'");
is(sql(q{SELECT n FROM helper.claim('q', 1)}), 'kept', 'updated: work goes on');
sql(q{ALTER EXTENSION durable_work UPDATE TO '98.0.0'});
is(state_of($node, 'postgres', 'DROP EXTENSION durable_work'), 'ok', 'it can be dropped');
is(state_of($node, 'postgres', 'CREATE EXTENSION durable_work'), 'ok', 'and made anew');
is(sql(q{SELECT durable_work.create_queue('q'); SELECT durable_work.enqueue('q', '{"n": "anew"}'); SELECT n FROM helper.claim('q', 1)}) =~ /^anew$/m, 1, 'and works at once');
# An update that is rolled back changes nothing.
sql(q{BEGIN; ALTER EXTENSION durable_work UPDATE TO '98.0.0'; ROLLBACK});
sql(q{SELECT durable_work.enqueue('q', '{"n": "rolled back"}')});
is(sql(q{SELECT n FROM helper.claim('q', 1)}), 'rolled back', 'an update that was rolled back changes nothing');

$node->stop;
done_testing();
