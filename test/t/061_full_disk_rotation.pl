# The disk is full while the log goes on to another segment and what is left in one is moved: nothing is lost or half
# done, health() says what fails, and with space again all of it is done without help. DW_SMALL_DISK as in 053_full_disk.pl.
use strict;
use warnings FATAL => 'all';

use File::Path qw(remove_tree);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $limit = 3 * 1024 * 1024; # of files, above those of WAL
my $small = $ENV{DW_SMALL_DISK};
my $filler = defined $small ? "$small/filler" : undef;

my $node = new_server('rotating', bare => 1, init => { extra => ['--wal-segsize=1'] },
    conf => [ 'max_wal_size = 16MB', 'durable_work.segment_max_age = 1h', 'durable_work.truncate_grace = 0' ]);
if (defined $small) {
    remove_tree("$small/rotating", $filler);
    mkdir "$small/rotating" or die "mkdir $small/rotating: $!";
    $node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$small/rotating'");
}
$node->safe_psql('postgres', 'CREATE DATABASE work' . (defined $small ? ' TABLESPACE small' : ''));
$node->safe_psql('work', 'CREATE EXTENSION durable_work');
add_helpers($node, 'work');
sub sql { return $node->safe_psql('work', $_[0]); }
sub becomes {
    my ($query, $name) = @_;
    return ok(wait_until($node, 'work', $query), $name) || diag(sql('SELECT "check", severity, seen FROM durable_work.health()'));
}

sub limit_files {
    my ($bytes) = @_;
    my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
    my @children = split ' ', slurp_file("/proc/$postmaster/task/$postmaster/children");
    for my $pid ($postmaster, @children) {
        system('prlimit', "--pid=$pid", "--fsize=$bytes:") == 0 or $pid != $postmaster or die "prlimit failed";
    }
    return;
}
sub fill_disk {
    return limit_files($limit) unless defined $filler;
    open(my $file, '>>', $filler) or die "open $filler: $!";
    my $page = "\0" x 4096;
    while (1) {
        my $written = syswrite($file, $page);
        last unless defined $written && $written == length $page;
    }
    truncate($file, (-s $file) - 256 * 1024) or die "truncate $filler: $!";
    close $file;
    return;
}
sub empty_disk { return defined $filler ? unlink $filler : limit_files('unlimited'); }

# Five megabytes of jobs, of which most are left and have to be moved.
sql(<<'SQL');
SELECT durable_work.create_queue('q', retention => '0 s', lease => '1 h');
CREATE FUNCTION helper.noise() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 160) $$;
SELECT count(*) FROM durable_work.enqueue_many('q', (SELECT array_agg(jsonb_build_object('n', i, 'fill', helper.noise())) FROM generate_series(1, 1000) i));
SELECT durable_work.complete(job_id, lease_token) FROM helper.claim('q', 100);
SQL
my $numbers = q{SELECT count(*), sum((payload->>'n')::int) FROM durable_work.inbox WHERE status = 'pending'};
my $before = sql($numbers);
sql('CHECKPOINT');

fill_disk();
$node->append_conf('postgresql.conf', 'durable_work.segment_max_age = 1s');
$node->reload;
becomes(q{SELECT seen ~ 'following and emptying the log.s segments fails: \w{5} .*could not (extend|write|create)' FROM durable_work.health() WHERE "check" = 'housekeeping'},
    'a full disk stops the round of the log, and health() says so');
is(sql($numbers), $before, 'every job is there, once');
is(sql('SELECT count(*) FROM helper.claim(\'q\', 10)'), '10', 'jobs are handed out');
is(sql('SELECT count(*) FROM durable_work.leases'), '10', 'to one worker each');

empty_disk();
becomes(q{SELECT severity = 'ok' FROM durable_work.health() WHERE "check" = 'housekeeping'}, 'with space again it goes on');
sql('SELECT durable_work.release(job_id, lease_token) FROM durable_work.leases');
becomes(q{SELECT state = 'empty' FROM durable_work.segments WHERE segment = '0'}, 'the segment is emptied');
is(sql($numbers), $before, 'every job is there, once');
is(sql(q{SELECT unfinished FROM durable_work.queue_stats}), '900', 'and counted');
is(sql(q{SELECT count(DISTINCT job_id) FROM durable_work.claim('q', 'w', 1000) c WHERE durable_work.complete(c.job_id, c.lease_token)}), '900', 'all of them can be done');

$node->stop;
remove_tree("$small/rotating") if defined $small;
done_testing();
