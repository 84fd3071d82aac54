# Clients in a mixed load write down every answer they get while backends, the housekeeper, the
# clients themselves and the whole server are killed. Afterwards the books must agree. Meanwhile the log
# goes round: a segment a second, kept for two, with what is unfinished moved out of the way.
# DW_SOAK_SECONDS: how long (default 40).
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use CrashLoad;
use DurableWork;

plan skip_all => 'needs /usr/bin/python3 with psycopg' unless can_run_load();

my $node = new_server('crash', conf => ['log_statement = none', 'durable_work.segment_max_age = 1s', 'durable_work.truncate_grace = 0']);
begin_load($node, q{retention => '2 s'});

run_load(clients => 10, seconds => $ENV{DW_SOAK_SECONDS} || 40, seed => 20260101);
drain_load();

ok($node->safe_psql('postgres', 'SELECT (SELECT min(id) FROM durable_work.inbox) > (SELECT min(job_id) FROM receipt)') ne 'f',
    'segments with finished jobs were emptied meanwhile');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM durable_work.segment WHERE first_id > 0'), 't', 'and others begun');

my ($agreed, $out, $err) = audit_load(options => ['--emptied']);
ok($agreed, 'what the clients were told agrees with what the database holds');
note($out);
diag($out . $err) unless $agreed;

# The auditor is no rubber stamp: it finds a lost job, a repeated token and an accepted stale token.
my ($believed, $found) = audit_load(options => ['--emptied'], lies => <<'JSON');
{"did": "ask", "key": "lie"}
{"did": "enqueued", "key": "lie"}
{"did": "claimed", "job": 1, "token": 5, "asked": 1.0, "told": 1.1, "key": "lie"}
{"did": "claimed", "job": 1, "token": 5, "asked": 2.0, "told": 2.1, "key": "lie"}
{"did": "claimed", "job": 1, "token": 4, "asked": 3.0, "told": 3.1, "key": "lie"}
{"did": "completed", "job": 1, "token": 4, "asked": 4.0, "key": "lie"}
JSON
ok(!$believed, 'planted lies are found');
like($found, qr/^broken: $_/m, "found: $_")
  for 'every acknowledged enqueue has exactly one receipt', 'no token was given twice', 'the tokens of a job rise',
  'no completion was accepted with a token', 'every acknowledged completion is kept';
is($node->safe_psql('postgres', q{SELECT n_tup_upd + n_tup_del FROM pg_stat_all_tables WHERE relid = 'durable_work.job_0'::regclass}), '0',
    'no job row was ever changed');

$node->stop;
done_testing();
