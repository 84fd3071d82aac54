# pg_upgrade of a server in the middle of work, in place, from the major release in DW_OLD_BINDIR to this one. Both
# must have the library. Without DW_OLD_BINDIR scripts/test leaves this file out.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $bin = $ENV{DW_OLD_BINDIR} or die 'DW_OLD_BINDIR names no old release';
my ($old_path) = $bin =~ m{^(.*)/bin$} or die "DW_OLD_BINDIR does not end in /bin: $bin";

# Which file is the install path of the old release depends on the layout; the module only needs its bin and lib.
my $old = PostgreSQL::Test::Cluster->new('old', install_path => $old_path);
$old->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
my @conf = ("shared_preload_libraries = 'durable_work'", 'max_worker_processes = 24', "timezone = 'UTC'", "durable_work.timer_horizon = '1h'", '');
$old->append_conf('postgresql.conf', join "\n", @conf);
$old->start;
$old->safe_psql('postgres', 'CREATE EXTENSION durable_work');
add_helpers($old, 'postgres');
$old->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('q', lease => '1 h', max_attempts => 7, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 500) i));
SELECT durable_work.enqueue('q', '{"n": "far"}', delay => '20 h', idempotency_key => 'far');
INSERT INTO helper.held SELECT * FROM helper.claim('q', 200);
SELECT durable_work.complete(job_id, token) FROM helper.held WHERE n::int <= 100;
SELECT durable_work.fail(job_id, token, '{"why": "now"}', retry_in => '0') FROM helper.held WHERE n::int = 101;
SELECT durable_work.reject(job_id, token, 'poison') FROM helper.held WHERE n::int = 102;
SELECT durable_work.cancel(job_id) FROM helper.held WHERE n::int = 103;
CREATE ROLE producer;
SELECT durable_work.grant_queue('q', 'producer', 'enqueue');
GRANT USAGE ON SCHEMA durable_work TO producer;
GRANT INSERT ON durable_work.inbox TO producer;
SQL
my $jobs = q{SELECT count(*) || ' ' || md5(string_agg(j::text, ',' ORDER BY id)) FROM
    (SELECT id, queue, priority, payload, headers, idempotency_key, created_at, max_attempts FROM durable_work.inbox) j};
my $catalog = q{SELECT string_agg(tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text, ', ' ORDER BY tgrelid::regclass::text, tgname) FROM pg_trigger
    WHERE tgrelid::regclass::text LIKE 'durable_work.%'};
my $dumped = q{SELECT string_agg(c::regclass::text, ', ' ORDER BY c::regclass::text) FROM pg_extension, unnest(extconfig) c WHERE extname = 'durable_work'};
my $members = q{SELECT count(*) || ' ' || md5(string_agg(o, ',' ORDER BY o)) FROM (SELECT pg_describe_object(classid, objid, objsubid) o FROM pg_depend
    WHERE deptype = 'e' AND classid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'durable_work')) m};
# What others than the owner may do.
my $privileges = q{SELECT string_agg(format('%s %s %s', name, grantee, privilege_type), ', ' ORDER BY name, grantee, privilege_type) FROM
    (SELECT relname::text AS name, (aclexplode(relacl)).*, relowner AS owner FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
     UNION ALL SELECT proname, (aclexplode(coalesce(proacl, acldefault('f', proowner)))).*, proowner FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace
     UNION ALL SELECT nspname, (aclexplode(nspacl)).*, nspowner FROM pg_namespace WHERE nspname = 'durable_work') p WHERE grantee <> owner};
my %was = map { $_ => $old->safe_psql('postgres', $_) } $jobs, $catalog, $dumped, $members, $privileges;
my $highest_token = $old->safe_psql('postgres', 'SELECT max(token) FROM helper.held');
my $highest_job = $old->safe_psql('postgres', 'SELECT max(id) FROM durable_work.inbox');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$new->append_conf('postgresql.conf', join "\n", @conf);
# pg_upgrade writes into the directory that it runs in.
chdir PostgreSQL::Test::Utils::tempdir or die;
command_ok([ 'pg_upgrade', '--no-sync', '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir, '--old-bindir', $bin,
        '--new-bindir', $new->config_data('--bindir'), '--socketdir', $new->host, '--old-port', $old->port, '--new-port', $new->port ], 'pg_upgrade')
  or diag(join "\n", map { "$_:\n" . slurp_file($_) } glob $new->data_dir . '/pg_upgrade_output.d/*/log/*');
$new->start;

is($new->safe_psql('postgres', $jobs), $was{$jobs}, 'every job is there, as it was');
is($new->safe_psql('postgres', $catalog), $was{$catalog}, 'triggers fire when they did');
is($new->safe_psql('postgres', $dumped), $was{$dumped}, 'a dump will contain the same tables');
is($new->safe_psql('postgres', $members), $was{$members}, 'the extension has the same members');
is($new->safe_psql('postgres', $privileges), $was{$privileges}, 'and the same grants');
is($new->safe_psql('postgres', <<"SQL"), '398|398|t|2', 'all that is due is handed out once, with higher tokens; the recorded failure counts');
CREATE TABLE taken AS SELECT * FROM helper.claim('q', 398);
SELECT count(*), count(DISTINCT job_id), bool_and(lease_token > $highest_token), max(attempt) FROM taken;
SQL
is($new->safe_psql('postgres', q{SELECT count(*) FROM durable_work.claim('q', 'w', 100)}), '0', 'and nothing more');
is($new->safe_psql('postgres', q{SELECT string_agg(DISTINCT durable_work.try_complete(job_id, token), ',') FROM helper.held WHERE n::int > 103}), 'stale', 'tokens of the old server are refused');
is($new->safe_psql('postgres', q{SELECT bool_or(durable_work.complete(job_id, token)) FROM helper.held WHERE n::int <= 100}), 'f', 'completions are remembered');
is($new->safe_psql('postgres', q{SELECT count(*) FROM taken WHERE durable_work.complete(job_id, lease_token)}), '398', 'work goes on');
is($new->safe_psql('postgres', q{SELECT inserted FROM durable_work.enqueue('q', '{"n": "far"}', idempotency_key => 'far')}), 'f', 'idempotency keys hold');
cmp_ok($new->safe_psql('postgres', q{SELECT job_id FROM durable_work.enqueue('q', '{"n": "new"}')}), '>', $highest_job, 'job ids go on');
is($new->safe_psql('postgres', q{SET session_replication_role = replica; INSERT INTO durable_work.inbox (queue, payload) VALUES ('q', '{"n": "replica"}'); SELECT count(*) FROM durable_work.inbox WHERE payload->>'n' = 'replica'}), '1',
    'the view takes jobs in replica role too');
is($new->safe_psql('postgres', q{SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'q'}), '3', 'and the counters are right');
is($new->safe_psql('postgres', q{SET ROLE producer; SELECT inserted FROM durable_work.enqueue('q', '{"n": "of its producer"}')}), 't', 'rights on queues count');
is(state_of($new, 'postgres', q{SET ROLE producer; SELECT durable_work.enqueue('default', '1')}), 'DW002', 'on those queues only');
$new->stop;
done_testing();
