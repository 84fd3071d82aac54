# From each released version to this one: ALTER EXTENSION UPDATE leaves the same objects as CREATE EXTENSION, and all
# jobs where they stood. The rows are those of that version's own library (test/upgrade, ./scripts/freeze).
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;
use Installation;

my $installation = new_installation();
my $current = $installation->current;
my $node = new_server('upgrade', installation => $installation, conf => [ "log_line_prefix = '%m [%p] %b: '" ]);
my $catalog = slurp_file($installation->kept . '/catalog.sql');
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION durable_work');

sub facts {
    my ($database) = @_;
    return $node->safe_psql($database, $catalog);
}

# Says where two lists of facts differ.
sub difference {
    my ($left, $right) = map { my %lines = map { $_ => 1 } split /\n/, $_; \%lines } @_;
    return join "\n", (map { "only fresh:   $_" } grep { !$right->{$_} } sort keys %$left), (map { "only updated: $_" } grep { !$left->{$_} } sort keys %$right);
}

my @released = grep { $_ ne $current } $installation->released;
ok(@released > 0, 'there are released versions to come from');

# The comparison sees what it should see.
$node->safe_psql('postgres', 'CREATE DATABASE spoiled');
$node->safe_psql('spoiled', 'CREATE EXTENSION durable_work');
is(difference(facts('fresh'), facts('spoiled')), '', 'two fresh extensions are the same');
my %spoilers = (
    q{ALTER TABLE durable_work.job_3 DISABLE TRIGGER rows_arrived} => qr/trigger: D/,
    q{ALTER TABLE durable_work.queue ALTER paused DROP DEFAULT} => qr/column: durable_work.queue .* paused/,
    q{GRANT SELECT ON durable_work.queues TO PUBLIC} => qr/relation: durable_work.queues/,
    q{COMMENT ON FUNCTION durable_work.fence(text, bigint) IS 'x'} => qr/function: durable_work.fence/,
    q{ALTER FUNCTION durable_work.cancel(bigint, text) COST 7} => qr/function: durable_work.cancel/,
    q{ALTER TABLE durable_work.job_2 SET (fillfactor = 90)} => qr/relation: durable_work.job_2/,
    q{ALTER TABLE durable_work.handled ADD x int} => qr/column: durable_work.handled .* x/,
    q{ALTER EXTENSION durable_work DROP VIEW durable_work.queues} => qr/member: view/,
    q{ALTER SEQUENCE durable_work.topic_id_seq CACHE 9} => qr/sequence: durable_work.topic_id_seq/,
    q{UPDATE pg_extension SET extconfig = extconfig[2:], extcondition = extcondition[2:] WHERE extname = 'durable_work'} => qr/dumped: /,
);
for my $spoiler (sort keys %spoilers) {
    like(difference(facts('fresh'), $node->safe_psql('spoiled', "BEGIN; $spoiler; $catalog; ROLLBACK")), $spoilers{$spoiler}, "seen: $spoiler");
}

for my $old (@released) {
    $installation->offer_released($old);
    (my $database = "from_$old") =~ tr/./_/;
    $node->safe_psql('postgres', "CREATE DATABASE $database");
    my ($status, $out, $err) = $node->psql($database, "CREATE EXTENSION durable_work VERSION '$old'");
    is($status, 0, "$old: can be created beside a newer library");
    like($err, qr/WARNING:.*do not fit.*ALTER EXTENSION durable_work UPDATE/s, "$old: with a warning that says what to do");

    $node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', $installation->kept . "/rows--$old.sql" ],
        "$old: rows of jobs in every state can be restored");

    # As after an upgrade of the files: a server that starts with the new library.
    my $log = -s $node->logfile;
    $node->restart;
    $node->wait_for_log(qr/housekeeper: LOG:.*library and SQL versions of durable_work do not fit/, $log);
    # A session that is there before and after the update.
    my $session = new_session($node, $database);
    is($session->try(q{SELECT durable_work.enqueue('main', '{}')}), 'DW007', "$old: nothing can be enqueued yet");
    is($session->try(q{SELECT durable_work.claim('main', 'w')}), 'DW007', "$old: nothing can be claimed yet");
    is($session->try('SELECT * FROM durable_work.queue_stats'), 'DW007', "$old: figures are refused too");
    is($session->query('SELECT durable_work.library_version()'), $current, "$old: but the library tells its version");
    is($session->query('SELECT count(*) FROM durable_work.queues'), '9', "$old: and what needs no library can be read");
    is(() = slurp_file($node->logfile, $log) =~ /housekeeper: LOG:.*do not fit/g, 1, "$old: the log says it once");

    is($session->try('ALTER EXTENSION durable_work UPDATE'), 'ok', "$old: the extension can be updated");
    is($session->query(q{SELECT extversion FROM pg_extension WHERE extname = 'durable_work'}), $current, "$old: to this version");
    is(difference(facts('fresh'), facts($database)), '', "$old: an updated extension is what a fresh one is");

    ok(housekeeper($node, $database), "$old: a housekeeper comes by itself");
    ok(wait_until($node, $database, q{SELECT bool_and(unfinished IS NOT NULL) FROM durable_work.queue_stats}), "$old: it counts the jobs");
    add_helpers($node, $database);
    # What a job must be is in its payload. What is finished may be given back one day.
    is($session->query(q{SELECT string_agg(DISTINCT payload->>'n' || ': ' || status, ', ') FROM durable_work.inbox
        WHERE payload->>'is' <> 'being redriven' AND status <> payload->>'is' AND NOT (queue = 'dead end' AND status = 'pending')}), '', "$old: every job is what it was");
    is($session->query(q{SELECT string_agg(payload->>'n', ', ' ORDER BY id) FROM durable_work.inbox WHERE payload->>'is' = 'pending' AND status = 'pending'}),
        'redriven, retried, retried later, deferred, ready, urgent, delayed, parked, expires one day, with a key, one at a time, put off, changed, '
        . 'of the default queue, paused, short 1, short 2, at most once, held, recorded, held', "$old: nothing is lost of what is to be done");
    is($session->query(q{SELECT sum(unfinished) FROM durable_work.queue_stats}), $session->query(q{SELECT count(*) FROM durable_work.inbox WHERE status = 'pending'}), "$old: the figures agree");
    is($session->query(q{SELECT count(*) FROM durable_work.dead_letters WHERE payload->>'is' = 'dead_letter'}), '4', "$old: dead letters are there");

    # Work goes on.
    my $highest = $session->query('SELECT (min(value) + 1) << 32 FROM durable_work.epoch');
    my $due = q{'{"held 1","urgent 1","changed 1","delayed 1","one at a time 1","ready 1","retried 2","with a key 1"}'};
    $session->query(q{INSERT INTO helper.held SELECT * FROM helper.claim('main', 8)});
    is($session->query("SELECT array_agg(n || ' ' || attempt ORDER BY n || ' ' || attempt) = (SELECT array_agg(x ORDER BY x) FROM unnest($due\::text[]) x) FROM helper.held"), 't',
        "$old: what is due is handed out once, with the attempts it had") or diag($session->query(q{SELECT string_agg(n || ' ' || attempt, ', ') FROM helper.held}));
    is($session->query(q{SELECT count(*) FROM durable_work.claim('main', 'w', 100)}), '0', "$old: and nothing else");
    is($session->query("SELECT bool_and(token > $highest) FROM helper.held"), 't', "$old: tokens are higher than all before");
    is($session->try(qq{SELECT durable_work.complete(job_id, $highest - 1) FROM helper.held WHERE n = 'held'}), 'DW001', "$old: those before are refused");
    is($session->query('SELECT count(*) FROM helper.held WHERE durable_work.complete(job_id, token)'), '8', "$old: what was handed out can be completed");
    # A plain SELECT, as recorded claims must be; right after a start it may have to be said twice.
    ok(wait_until($node, $database, q{SELECT (payload->>'n') || ' ' || attempt FROM durable_work.claim('recorded', 'w', 1)}, 'held, recorded 2'), "$old: a recorded claim counts as an attempt");
    is($session->query(q{SELECT (payload->>'n') || ' ' || attempt FROM durable_work.claim('dead end', 'w')}), 'rejected 1', "$old: the copy of a dead letter is a job");
    is($session->query(q{SELECT inserted FROM durable_work.enqueue('main', '{"n": "with a key", "is": "pending"}', idempotency_key => 'key')}), 'f', "$old: idempotency keys hold");
    is($session->query(q{SELECT durable_work.mark_handled('mail', 'order 1')}), 'f', "$old: what was handled is known");
    is($session->try(q{SELECT durable_work.fence('file', 76)}), 'DW001', "$old: fences hold");
    is($session->try(q{SELECT durable_work.enqueue('short', '{}')}), 'DW005', "$old: a full queue is full");
    is($session->query(q{SELECT count(*) FROM durable_work.claim('paused', 'w')}), '0', "$old: a paused queue is paused");
    $session->query(q{SELECT durable_work.resume_queue('paused')});
    is($session->query(q{SELECT n FROM helper.claim('paused', 1)}), 'paused', "$old: and can be resumed");
    is($session->query(q{SELECT matched || ' ' || (moved BETWEEN 1 AND 3) FROM durable_work.redrives}), '3 true', "$old: a redrive goes on");
    is($session->try(q{SELECT durable_work.enqueue('dropped', '{}')}), 'DW002', "$old: a dropped queue is gone");
    is($session->query(q{SELECT job_id > (SELECT max(id) FROM durable_work.inbox WHERE payload ? 'is') FROM durable_work.enqueue('main', '{"n": "new"}')}), 't', "$old: job ids go on");
    is($session->query(q{SELECT n FROM helper.claim('main', 1)}), 'new', "$old: new jobs are handed out");

    # Another server start finds the same.
    $node->restart;
    is($node->safe_psql($database, q{SELECT string_agg(payload->>'n', ', ' ORDER BY id) FROM durable_work.inbox WHERE queue = 'main' AND status = 'pending'}),
        'retried later, deferred, parked, expires one day, put off, new', "$old: also after a restart");
    is($node->safe_psql($database, q{SELECT n || ' ' || attempt FROM helper.claim('main', 1)}), 'new 1', "$old: and work goes on");
}
$node->stop;
done_testing();
