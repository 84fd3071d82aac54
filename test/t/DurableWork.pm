# What the TAP tests share: servers with the extension, sessions that stay open, and waiting for a
# condition. Nothing here sleeps to let something happen; wait_until() looks until it has happened.
package DurableWork;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_server add_helpers housekeeper wait_until state_of message_of signal_stopped new_session
    point_file arm_point point_fired);

# new_server(NAME, conf => [lines], init => {arguments of init}): started, with helpers in
# database postgres and the extension created there. installation => of Installation.pm.
sub new_server {
    my ($name, %options) = @_;
    my $node = $options{installation} ? $options{installation}->new_node($name) : PostgreSQL::Test::Cluster->new($name);
    $node->init(%{ $options{init} // {} });
    $node->append_conf('postgresql.conf', join "\n",
        "shared_preload_libraries = 'durable_work'",
        'restart_after_crash = on',
        'max_connections = 60',
        'max_worker_processes = 24',
        "timezone = 'UTC'",
        @{ $options{conf} // [] }, '');
    $node->start;
    return $node if $options{bare};
    $node->safe_psql('postgres', 'CREATE EXTENSION durable_work');
    add_helpers($node, 'postgres');
    return $node;
}

# helper.claim(queue, wanted, ...) claims until it has that many; helper.take(queue) returns
# "payload n:attempt" texts; helper.waits(job, token) ...
sub add_helpers {
    my ($node, $database) = @_;
    $node->safe_psql($database, <<'SQL');
CREATE SCHEMA helper;
-- Claims until it has as many as wanted: right after a start, and from a queue that is being loaded, one call may
-- return fewer.
CREATE FUNCTION helper.claim(queue text, wanted int, worker text DEFAULT 'tester', lease interval DEFAULT NULL)
RETURNS TABLE (job_id bigint, lease_token bigint, n text, attempt int) LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    now_got int;
    give_up timestamptz := clock_timestamp() + interval '100 s';
BEGIN
    LOOP
        RETURN QUERY SELECT c.job_id, c.lease_token, c.payload->>'n', c.attempt
            FROM durable_work.claim(queue, worker, least(wanted - got, 10000), lease => lease) c;
        GET DIAGNOSTICS now_got = ROW_COUNT;
        got := got + now_got;
        EXIT WHEN got >= wanted;
        IF clock_timestamp() > give_up THEN
            RAISE EXCEPTION 'only % of % jobs could be claimed', got, wanted;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
CREATE TABLE helper.held (job_id bigint, token bigint, n text, attempt int);
SQL
    return;
}

# Process id of a database's housekeeper, once there is one.
sub housekeeper {
    my ($node, $database) = @_;
    my $query = "SELECT pid FROM pg_stat_activity WHERE backend_type ~ '^durable_work.*housekeeper' AND datname = '$database'";
    wait_until($node, 'postgres', "SELECT count(*) = 1 FROM ($query) h")
      or die "there is no housekeeper in $database";
    return $node->safe_psql('postgres', $query);
}

# Looks until the query returns 't' (or what is expected); false after the usual limit. A server that is about to start again
# may turn psql away before it has read its query: that is one look more.
sub wait_until {
    my ($node, $database, $query, $expected) = @_;
    my $result;
    until (eval { $result = $node->poll_query_until($database, $query, $expected // 't'); 1 }) {
        die $@ if $@ !~ /Broken pipe/;
    }
    return $result;
}

# SQLSTATE of what a statement raised, or 'ok'.
sub state_of {
    my ($node, $database, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql");
    return $1 if $err =~ /(?:ERROR|FATAL):  (\w{5}):/;
    return $status == 0 ? 'ok' : "exit status $status: $err";
}

# Everything that a statement said on its way to an error.
sub message_of {
    my ($node, $database, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, $sql);
    return $err;
}

# Stops a process and returns when the kernel says that it is stopped.
sub signal_stopped {
    my ($pid) = @_;
    kill('STOP', $pid) or die "could not stop $pid: $!";
    for (1 .. 18000) {
        open(my $stat, '<', "/proc/$pid/stat") or die "no process $pid";
        my $line = <$stat>;
        close $stat;
        return 1 if $line =~ /\) [Tt] /;
        select(undef, undef, undef, 0.01);
    }
    die "$pid does not stop";
}

# Test points (src/runtime/test_point.cpp), in a build that has them.
sub point_file { return $_[0]->data_dir . '/durable_work.test_point'; }

# Who comes to the place for the count-th time fails there.
sub arm_point {
    my ($node, $point, $action, $count) = @_;
    my $file = point_file($node);
    append_to_file("$file.new", "point:$point $action $count\n");
    rename "$file.new", $file or die;
    return;
}

sub point_fired {
    my ($node) = @_;
    my $file = point_file($node);
    for (1 .. 1800) {
        return 1 unless -e $file;
        select undef, undef, undef, 0.1;
    }
    unlink $file;
    return 0;
}

sub new_session { return DurableWork::Session->new(@_); }

# A psql that stays open. query() waits for the end and dies on an error, try() returns the
# SQLSTATE or 'ok', send() does not wait: done() and finish_sent() follow it.
package DurableWork::Session;

use strict;
use warnings FATAL => 'all';

sub new {
    my ($class, $node, $database) = @_;
    my $self = bless { in => '', out => '', err => '', count => 0 }, $class;
    my $limit = $PostgreSQL::Test::Utils::timeout_default // 180;
    $self->{timer} = IPC::Run::timeout($limit, exception => 'a session did not answer');
    $self->{run} = IPC::Run::start(
        [ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=0', '-d', $node->connstr($database // 'postgres'), '-f', '-' ],
        '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
    $self->{pid} = $self->query('SELECT pg_backend_pid()');
    return $self;
}

sub pid { return $_[0]{pid}; }

sub send {
    my ($self, $sql) = @_;
    $self->{marker} = 'end-of-statement-' . ++$self->{count};
    $self->{out} = $self->{err} = '';
    $self->{in} .= "$sql\n;\n\\echo $self->{marker}\n\\warn $self->{marker}\n";
    $self->{timer}->start;
    $self->{run}->pump_nb;
    return $self;
}

sub done {
    my ($self) = @_;
    $self->{run}->pump_nb if $self->{run}->pumpable;
    return 1 unless $self->{run}->pumpable;
    return $self->{out} =~ /^\Q$self->{marker}\E$/m && $self->{err} =~ /^\Q$self->{marker}\E$/m;
}

# SQLSTATE or 'ok'; the output is in output() then.
sub finish_sent {
    my ($self) = @_;
    until ($self->{out} =~ /^\Q$self->{marker}\E$/m && $self->{err} =~ /^\Q$self->{marker}\E$/m) {
        last unless $self->{run}->pumpable;
        eval { $self->{run}->pump; 1 } or do {
            die $@ if $@ =~ /did not answer/;
            last;
        };
    }
    $self->{timer}->reset;
    s/^\Q$self->{marker}\E\n//m for $self->{out}, $self->{err};
    chomp $self->{out};
    return $1 if $self->{err} =~ /(?:ERROR|FATAL|PANIC):  (\w{5}):/;
    return 'lost' if $self->{err} =~ /connection to server was lost|server closed the connection/;
    return 'ok';
}

sub output { return $_[0]{out}; }
sub errors { return $_[0]{err}; }

sub try {
    my ($self, $sql) = @_;
    return $self->send($sql)->finish_sent;
}

sub query {
    my ($self, $sql) = @_;
    my $state = $self->try($sql);
    die "$sql\n$self->{err}" if $state ne 'ok';
    return $self->{out};
}

sub quit {
    my ($self) = @_;
    $self->{in} .= "\\q\n";
    $self->{timer}->start;
    eval { $self->{run}->finish };
    return;
}

1;
