# Names that somebody has planted: functions, operators, aggregates, types and tables of the server's names, in front of the
# server's own. None of them is called by the extension: not while it is created or updated, and not by any of its functions
# and views, whoever calls them with whatever search_path. What PUBLIC is given by default privileges it does not have here.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;
use Installation;

my $installation = new_installation();
my $node = new_server('planted', installation => $installation, bare => 1, conf => [ 'max_prepared_transactions = 4' ]);
my $log = -s $node->logfile;

# What is planted cries out, in the log too: an error may be caught on its way. A copy of every function and operator of
# pg_catalog, as far as PL/pgSQL can have its arguments; by a role that has nothing but CREATE on public and a schema.
$node->safe_psql('template1', <<'SQL');
CREATE ROLE planter;
CREATE ROLE watcher;
CREATE SCHEMA trap AUTHORIZATION planter;
GRANT ALL ON SCHEMA public TO PUBLIC;
SET ROLE planter;
SET client_min_messages = error;
CREATE FUNCTION trap.sprung(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE LOG 'sprung: % as %', what, current_user;
    RAISE EXCEPTION 'sprung: %', what;
END $$;
CREATE FUNCTION trap.is_sprung(what text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM trap.sprung(what); END';
CREATE FUNCTION trap.rows_sprung(what text) RETURNS SETOF pg_catalog.pg_class LANGUAGE plpgsql AS 'BEGIN PERFORM trap.sprung(what); END';
CREATE FUNCTION trap.state_sprung(state anyelement, value anyelement) RETURNS anyelement LANGUAGE plpgsql AS 'BEGIN PERFORM trap.sprung(''an aggregate''); END';
CREATE FUNCTION trap.count_sprung(state bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN PERFORM trap.sprung(''count''); END';
DO $plant$
DECLARE
    statement text;
    planted int := 0;
BEGIN
    FOR statement IN
        SELECT format('CREATE FUNCTION %s.%I(%s) RETURNS %s%s LANGUAGE plpgsql AS $f$BEGIN PERFORM trap.sprung(%L); END$f$', place, proname, oidvectortypes(proargtypes),
                      CASE WHEN proretset THEN 'SETOF ' END, format_type(prorettype, NULL), proname)
        FROM pg_proc CROSS JOIN unnest('{trap,public}'::text[]) AS place
        WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'
          -- Those of single types (box, macaddr, ...) would take all the time.
          AND NOT EXISTS (SELECT FROM unnest(proargtypes) AS a (type) JOIN pg_type ON pg_type.oid = a.type WHERE typcategory NOT IN ('A', 'B', 'D', 'N', 'P', 'S', 'T', 'U')
                          OR typname IN ('internal', 'cstring', 'any', 'record', 'numeric', 'float4', 'money', 'bpchar', 'macaddr', 'macaddr8', 'tsvector', 'tsquery', 'xml', 'json', 'varbit', 'timetz', 'time', 'date'))
          AND (place = 'trap' OR proname IN ('now', 'clock_timestamp', 'nextval', 'format', 'unnest', 'quote_ident', 'int8', 'text', 'array_agg', 'lower', 'btrim', 'substr'))
        UNION ALL
        SELECT format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS $f$BEGIN PERFORM trap.sprung(%L); END$f$; CREATE OPERATOR trap.%s (%s RIGHTARG = %s, FUNCTION = trap.%I)',
                      'operator_' || oid, concat_ws(', ', CASE WHEN oprleft <> 0 THEN format_type(oprleft, NULL) END, format_type(oprright, NULL)), format_type(oprresult, NULL),
                      'operator ' || oprname, oprname, CASE WHEN oprleft <> 0 THEN 'LEFTARG = ' || format_type(oprleft, NULL) || ',' END, format_type(oprright, NULL), 'operator_' || oid)
        FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_type WHERE oid IN (oprleft, oprright) AND (typcategory NOT IN ('A', 'B', 'D', 'N', 'P', 'S', 'T', 'U') OR typname IN ('record', 'numeric', 'float4', 'money', 'bpchar', 'macaddr', 'macaddr8', 'tsvector', 'tsquery', 'varbit', 'timetz', 'time', 'date')))
        UNION ALL
        SELECT format('CREATE AGGREGATE trap.%I(%s) (SFUNC = trap.state_sprung, STYPE = %s)', name, type, type)
        FROM unnest('{max,min,sum,array_agg,jsonb_agg,bool_or,bool_and}'::text[]) AS name, unnest('{text,integer,bigint,jsonb,boolean,timestamptz,interval}'::text[]) AS type
        UNION ALL VALUES ('CREATE AGGREGATE trap.count(*) (SFUNC = trap.count_sprung, STYPE = bigint)')
        UNION ALL
        SELECT format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS $f$BEGIN PERFORM trap.sprung(%L); END$f$', name, arguments, result, name)
        FROM (VALUES ('format', 'text, text', 'text'), ('format', 'text, integer', 'text'), ('format', 'text, text, text', 'text'), ('format', 'text, bigint', 'text'), ('jsonb_build_object', 'text, jsonb', 'jsonb'),
                     ('string_agg', 'text, text', 'text'), ('row_number', '', 'bigint')) AS more (name, arguments, result)
        UNION ALL
        SELECT format('CREATE DOMAIN trap.%I AS pg_catalog.%I CHECK (trap.is_sprung(%L))', name, name, 'type ' || name)
        FROM unnest('{text,jsonb,name,oid,bytea,timestamptz,int2,int4,int8,bool,float8,regclass,regprocedure,regproc,regnamespace,regrole,tid,xid,_text,_int8}'::text[]) AS name WHERE name NOT LIKE '\_%'
        UNION ALL
        SELECT format('CREATE VIEW trap.%I AS SELECT * FROM trap.rows_sprung(%L)', relname, relname) FROM pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v') AND relname ~ '^pg_(class|proc|prep|namesp|am|auth|roles|exten|inher|trig|stat|type|attr|database|locks|settings|index)'
    LOOP
        BEGIN
            EXECUTE statement;
            planted := planted + 1;
        EXCEPTION WHEN OTHERS THEN
            NULL; -- not for this type of argument
        END;
    END LOOP;
    IF planted < 1500 THEN RAISE EXCEPTION 'only % planted', planted; END IF;
END $plant$;
SQL
my $path = 'SET search_path = pg_temp, trap, public, pg_catalog;';
for my $bait (q{SELECT count(*) FROM (VALUES (1)) v}, q{SELECT 1 = 1}, q{SELECT 'a'::text}, q{SELECT now()}, q{TABLE pg_class}, q{SELECT max(1)}, q{SELECT lower('A')}, q{SELECT '{}'::pg_catalog.jsonb ? 'a'}) {
    is(state_of($node, 'template1', "$path $bait"), 'P0001', "sprung by: $bait");
}
my $baits = () = slurp_file($node->logfile, $log) =~ /LOG:  sprung: /g;
is($baits, 8, 'and it is in the log');
$log = -s $node->logfile;
sub nothing_sprung {
    my ($when) = @_;
    my @sprung = slurp_file($node->logfile, $log) =~ /(sprung: .*)/g;
    is("@sprung", '', "nothing planted was called $when");
    $log = -s $node->logfile;
    return;
}

# Creating and updating --------------------------------------------------------------------------------------------------
my $public = <<'SQL';
SELECT string_agg(what || ' ' || privilege_type, ', ' ORDER BY what) FROM (
    SELECT oid::regclass::text AS what, relacl AS acl FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace
    UNION ALL SELECT oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace
    UNION ALL SELECT oid::regtype::text, coalesce(typacl, acldefault('T', typowner)) FROM pg_type
        WHERE typnamespace = 'durable_work'::regnamespace AND typelem = 0 AND (SELECT relkind FROM pg_class WHERE pg_class.oid = typrelid) = 'c'
    UNION ALL SELECT 'the schema', nspacl FROM pg_namespace WHERE nspname = 'durable_work') AS object
CROSS JOIN LATERAL aclexplode(acl) AS item WHERE grantee = 0
SQL
my $planted_in = <<'SQL';
SELECT string_agg(pg_describe_object(classid, objid, objsubid) || ' needs ' || pg_describe_object(refclassid, refobjid, refobjsubid), ', ') FROM pg_depend
WHERE (refclassid, refobjid) IN (SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace IN ('trap'::regnamespace, 'public'::regnamespace)
        UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oprnamespace = 'trap'::regnamespace
        UNION ALL SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relnamespace = 'trap'::regnamespace
        UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'trap'::regnamespace)
  AND pg_describe_object(classid, objid, objsubid) ~ 'durable_work'
SQL
my $defaults = join '; ', map { "ALTER DEFAULT PRIVILEGES GRANT ALL ON $_ TO PUBLIC" } qw(TABLES SEQUENCES ROUTINES TYPES SCHEMAS);
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
for my $version ('', grep { $_ ne $installation->current } $installation->released) {
    (my $database = $version eq '' ? 'fresh' : "from_$version") =~ tr/./_/;
    if ($version ne '') {
        $installation->offer_released($version);
        $node->safe_psql('postgres', "CREATE DATABASE $database");
        $node->safe_psql($database, "CREATE EXTENSION durable_work VERSION '$version'");
    }
    $node->safe_psql($database, $defaults);
    my $statement = $version eq '' ? 'CREATE EXTENSION durable_work' : 'ALTER EXTENSION durable_work UPDATE';
    is(state_of($node, $database, "$path $statement"), 'ok', "$database: $statement");
    nothing_sprung("by $statement, $database");
    is($node->safe_psql($database, $planted_in), '', "$database: nothing is made of what is planted");
    is($node->safe_psql($database, $public), '', "$database: nothing for PUBLIC");
    next if $version eq '';
    # What is there by then was made by CREATE EXTENSION alone in the other database.
    $node->safe_psql($database, 'SET search_path = pg_catalog; SELECT durable_work.create_queue(queue) FROM (VALUES (\'q\')) AS v (queue)');
    is($node->safe_psql($database, q{SELECT count(*) FROM durable_work.queues}), '1', "$database: and it works");
    $log = -s $node->logfile;
}

# A schema that somebody has prepared is refused: what is in it would be found before what is made.
$node->safe_psql('postgres', 'CREATE DATABASE squatted');
for my $prepared ('CREATE SCHEMA durable_work AUTHORIZATION planter', 'CREATE SCHEMA durable_work; CREATE FUNCTION durable_work.f() RETURNS int LANGUAGE sql AS $$SELECT 1$$',
    'CREATE SCHEMA durable_work; CREATE TABLE durable_work.job_0 (id int)', 'CREATE SCHEMA durable_work; CREATE OPERATOR durable_work.= (LEFTARG = int8, RIGHTARG = int4, FUNCTION = pg_catalog.int84eq)') {
    is(state_of($node, 'squatted', "$prepared; CREATE EXTENSION durable_work"), 'DW006', "refused: $prepared");
    $node->safe_psql('squatted', 'SET client_min_messages = error; DROP SCHEMA durable_work CASCADE');
}
$log = -s $node->logfile;

# Every function and view ------------------------------------------------------------------------------------------------
my $calls = <<'SQL';
SELECT durable_work.alter_queue('fair', lease => '1 h');
SELECT durable_work.pause_queue('fair'); SELECT durable_work.resume_queue('fair');
SELECT durable_work.resize_buckets('fair', 100);
SELECT durable_work.set_concurrency_limit('fair', 1000), durable_work.set_concurrency_limit('fair', 1000, 'group', 'g');
SELECT durable_work.set_rate_limit('fair', 1000000), durable_work.set_rate_limit('fair', 1000000, scope => 'key');
SELECT durable_work.set_key_weight('fair', 'k', 2);
SELECT durable_work.register_worker('w', '{fair}', labels => '{"a": 1}') AS instance \gset
SELECT * FROM durable_work.heartbeat('w', instance => :instance);
SELECT durable_work.ring_owner('fair', 'k'), durable_work.owned_buckets('fair', 'w');
SELECT durable_work.ring_simulate('{a,b}'); SELECT durable_work.ring_moved('{a}', '{a,b}'); SELECT durable_work.bucket('k'), durable_work.shard_key('k', 's', 4);
SELECT durable_work.enqueue('fair', '{"n": 1}', partition_key => 'k', idempotency_key => 'i', headers => '{"h": 1}');
SELECT durable_work.enqueue('fair', '{"n": 1}', partition_key => 'k', idempotency_key => 'i');
SELECT durable_work.enqueue('fair', '{"n": 2}', idempotency_key => 'r', delay => '1 h', unique_while => 'pending', on_duplicate => 'replace');
SELECT durable_work.enqueue('fair', '{"n": 3}', idempotency_key => 'r', delay => '1 h', unique_while => 'pending', on_duplicate => 'replace');
SELECT * FROM durable_work.enqueue_many('fair', '{1,2,3,4,5,6,7,8,9}', idempotency_keys => '{a,b,c,d,e,f,g,h,i2}');
SELECT * FROM durable_work.enqueue_many('fair', '{1,2}', idempotency_keys => '{a,b}');
INSERT INTO durable_work.inbox (queue, payload, partition_key) VALUES ('fair', '{"n": 4}', 'k') RETURNING id, status;
SELECT job_id AS later FROM durable_work.enqueue('fair', '{"n": 5}', delay => '1 h') \gset
SELECT durable_work.reschedule(:later, '2100-01-01'); SELECT durable_work.update_payload(:later, '{"n": 6}'); SELECT durable_work.cancel(:later);
SELECT durable_work.reschedule_many('fair', '2100-01-01', filter => '$.payload ? (@.n == 3)');
SELECT durable_work.retry_now_many('fair', filter => '$.payload ? (@ starts with "x")');
SELECT durable_work.cancel_many('fair', filter => '$.payload ? (@.n == 77)');
SELECT job_id, lease_token FROM durable_work.claim('fair', 'w', 1, request_id => 'r', instance => :instance) \gset
SELECT * FROM durable_work.claim('fair', 'w', 1, request_id => 'r', instance => :instance);
SELECT durable_work.set_progress(:job_id, :lease_token, '{"p": 1}'); SELECT durable_work.extend_lease(:job_id, :lease_token);
SELECT * FROM durable_work.explain_job(:job_id); SELECT * FROM durable_work.history(:job_id);
SELECT durable_work.complete(:job_id, :lease_token, '{"r": 1}'); SELECT durable_work.complete(:job_id, :lease_token, '{"r": 1}');
CALL durable_work.wait_for_job(:job_id, '0'); CALL durable_work.wait_for_work('{fair}', '0');
SELECT job_id, lease_token FROM durable_work.claim('{fair}'::pg_catalog.text[], 'v', 1) \gset
SELECT durable_work.try_complete(:job_id, :lease_token);
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT * FROM durable_work.complete_and_claim(ARRAY[:job_id]::pg_catalog.int8[], ARRAY[:lease_token]::pg_catalog.int8[], 'fair', 'v', 1) WHERE outcome OPERATOR(pg_catalog.=) 'claimed' \gset
SELECT * FROM durable_work.complete_many(ARRAY[:job_id]::pg_catalog.int8[], ARRAY[:lease_token]::pg_catalog.int8[]);
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT durable_work.release(:job_id, :lease_token);
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT durable_work.defer(:job_id, :lease_token, '2100-01-01');
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT durable_work.fail(:job_id, :lease_token, '{"e": 1}', retry_in => '1 h');
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT * FROM durable_work.fail_many(ARRAY[:job_id]::pg_catalog.int8[], ARRAY[:lease_token]::pg_catalog.int8[], '{1}', retryable => false);
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT durable_work.reject(:job_id, :lease_token, 'why');
SELECT durable_work.redrive('fair', error_like => '%why%', dry_run => true); SELECT durable_work.redrive('fair', ARRAY[:job_id]::pg_catalog.int8[]);
SELECT job_id, lease_token FROM durable_work.claim('fair', 'v', 1) \gset
SELECT durable_work.reject(:job_id, :lease_token, 'why'); SELECT durable_work.discard_dead_letter(:job_id, 'fair');
SELECT durable_work.redrive('fair', rate_per_second => 1000);
SELECT durable_work.enqueue('ordered', '{"n": 1}', partition_key => 'k'); SELECT durable_work.enqueue('ordered', '{"n": 2}', partition_key => 'k');
SELECT job_id, lease_token FROM durable_work.claim('ordered', 'v', 1) \gset
SELECT durable_work.fail(:job_id, :lease_token, '{"e": 1}');
SELECT * FROM durable_work.blocked_keys('ordered'); SELECT * FROM durable_work.key_status('ordered', 'k'); SELECT durable_work.unblock_key('ordered', 'k', 'retry');
SELECT * FROM durable_work.hot_keys('ordered'); SELECT * FROM durable_work.explain_waiting('fair'); SELECT * FROM durable_work.explain_waiting('ordered');
SELECT durable_work.mark_handled('h', 'k'), durable_work.fence('r', 7), durable_work.library_version(), durable_work.may(0, 'see');
SELECT * FROM durable_work.live_leases(); SELECT * FROM durable_work.queue_figures(); SELECT * FROM durable_work.limit_figures();
SELECT * FROM durable_work.wake_figures(); SELECT * FROM durable_work.worker_figures(); SELECT * FROM durable_work.job_state(1, 1, 0); SELECT * FROM durable_work.outcome_members(1, NULL, '\x');
BEGIN; SELECT durable_work.enqueue('ordered', '{"n": 3}', partition_key => 'p'); PREPARE TRANSACTION 'planted';
SELECT * FROM durable_work.explain_waiting('ordered');
COMMIT PREPARED 'planted';
SELECT durable_work.drain_worker('w'); SELECT durable_work.register_worker('w2', '{fair}'); SELECT durable_work.deregister_worker('w2');
SELECT durable_work.purge_queue('fair', forget_keys => true);
SQL
my $owners = <<'SQL';
SELECT durable_work.create_queue('planted', max_attempts => 7); SELECT durable_work.create_queue('planted', max_attempts => 7);
SELECT durable_work.enqueue('default', '{}');
SELECT durable_work.grant_queue('planted', 'watcher', 'monitor'); SELECT durable_work.revoke_queue('planted', 'watcher');
SELECT durable_work.drop_queue('planted');
SELECT * FROM durable_work.health(); SELECT * FROM durable_work.log_slots(); SELECT durable_work.reload();
SQL
my %elsewhere = map { $_ => 1 } qw(attach_database inbox_insert rows_arrived);    # what CREATE EXTENSION and triggers call
my @missed = grep { !$elsewhere{$_} && "$calls$owners" !~ /durable_work\.$_\(/ } split /\n/,
  $node->safe_psql('fresh', q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace});
is("@missed", '', 'every function is called');
my $views = join "\n", map { "TABLE durable_work.$_;" } split /\n/,
  $node->safe_psql('fresh', q{SELECT relname FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'v'});

$node->safe_psql('fresh', <<'SQL');
SELECT durable_work.create_queue('fair', fairness => 'key', lease => '1 h', max_attempts => 5);
SELECT durable_work.create_queue('ordered', ordering => 'key', on_exhausted => 'hold', max_attempts => 1);
SELECT durable_work.grant_queue(NULL, 'planter', r) FROM unnest('{enqueue,work,operate,monitor}'::text[]) r;
SQL
$node->poll_query_until('fresh', q{SELECT bool_and(unfinished = 0) FROM durable_work.queue_stats}) or die 'the queues are not served';
$log = -s $node->logfile;
# Tables and types of the session's own too, which come first of all.
my $temp = join ' ', map { "CREATE TEMP VIEW $_ AS SELECT * FROM trap.rows_sprung('$_');" } qw(pg_class pg_proc pg_namespace pg_roles pg_prepared_xacts pg_settings pg_inherits queue topic idempotency dead_letter job_0 epoch worker inbox);
# How else a session can have statements read and values written.
my $odd = q{SET standard_conforming_strings = off; SET backslash_quote = on; SET escape_string_warning = off; SET quote_all_identifiers = on; SET transform_null_equals = on; SET array_nulls = off;
    SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET bytea_output = escape; SET row_security = off; SET check_function_bodies = off; SET extra_float_digits = -15;};
sub play {
    my ($who, $script) = @_;
    my ($status, $out, $err) = $node->psql('fresh', "$temp\n$odd\n$path\n$script", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    is($status, 0, "$who: everything is called") or diag($err);
    unlike($out . $err, qr/sprung/, "$who: and answers what it should");
    nothing_sprung($who);
    return;
}
play('for a role with the rights', "SET ROLE planter;\n$calls\n" . $views =~ s/TABLE durable_work.segments;//r);
play('for a superuser', "$calls\n$views\n$owners");

# Drop what is planted, and nothing of the extension goes with it.
is(state_of($node, 'fresh', 'DROP OWNED BY planter'), 'ok', 'what was planted can be dropped');
is(state_of($node, 'fresh', q{SELECT * FROM durable_work.health()}), 'ok', 'and the extension is whole');

$node->stop;
done_testing();
