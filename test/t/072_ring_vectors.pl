# Buckets and rings as test/simulator/ring_vectors.json has them, which neither this extension nor the simulator has made.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('ring_vectors');
sub sql { return $node->safe_psql('postgres', $_[0]); }
sub text { my ($text) = @_; $text =~ s/'/''/g; utf8::encode($text); return "'$text'"; }
sub names { return 'ARRAY[' . join(', ', map { text($_) } @{ $_[0] }) . ']::text[]'; }

my $vectors = decode_json(slurp_file(dirname(abs_path(__FILE__)) . '/../simulator/ring_vectors.json'));

for my $hash (@{ $vectors->{hashes} }) {
    my $key = text($hash->{text});
    is(sql("SELECT concat_ws(' ', durable_work.bucket($key), durable_work.bucket($key, 97), durable_work.bucket($key, 1024))"),
        "$hash->{bucket_360} $hash->{bucket_97} $hash->{bucket_1024}", "buckets of $key");
}
# Whatever the database keeps its texts in, the bytes that count are those of UTF-8; without an encoding those that the client sends.
for my $encoding (qw(LATIN1 SQL_ASCII)) {
    sql("CREATE DATABASE \"in_$encoding\" ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
    my $there = sub { return $node->safe_psql("in_$encoding", "SET client_encoding = 'UTF8'; $_[0]"); };
    $there->('CREATE EXTENSION durable_work');
    my $tried = 0;
    for my $hash (grep { $_->{text} =~ /^[\x00-\xff]*$/ } @{ $vectors->{hashes} }) {
        my $key = text($hash->{text});
        $tried++ if $hash->{text} =~ /[\x80-\xff]/;
        is($there->("SELECT durable_work.bucket($key)"), $hash->{bucket_360}, "$encoding: bucket of $key");
    }
    cmp_ok($tried, '>', 0, "$encoding: also of letters that it writes in another way");
}
for my $ring (@{ $vectors->{rings} }) {
    my $simulate = 'durable_work.ring_simulate(' . names($ring->{workers}) . ", $ring->{vnodes}, $ring->{buckets})";
    is(sql("SELECT md5(string_agg(owner, ',' ORDER BY bucket)) FROM $simulate"), $ring->{owners_md5}, "owners: $ring->{what}");
    my $owners = $ring->{owner_of};
    for my $bucket (sort { $a <=> $b } keys %$owners) {
        my $wanted = $owners->{$bucket};
        utf8::encode($wanted);
        is(sql("SELECT owner FROM $simulate WHERE bucket = $bucket"), $wanted, "bucket $bucket: $ring->{what}") if $bucket < 2;
    }
}
for my $move (@{ $vectors->{moves} }) {
    my ($before, $after) = map { names($move->{$_}) } qw(before after);
    is(sql("SELECT moved FROM durable_work.ring_moved($before, $after, $move->{vnodes}, $move->{buckets})"), $move->{moved}, "from $before to $after");
}

# The ring of registered workers is the same function.
my ($ring) = grep { $_->{vnodes} == 150 && $_->{buckets} == 360 && @{ $_->{workers} } > 2 } @{ $vectors->{rings} };
sql(q{SELECT durable_work.create_queue('q')});
sql('SELECT durable_work.register_worker(' . text($_) . q{, '{q}')}) for @{ $ring->{workers} };
is(sql('SELECT md5(string_agg(worker, $$,$$ ORDER BY bucket)) FROM (SELECT worker, unnest(durable_work.owned_buckets($$q$$, worker)) AS bucket FROM durable_work.workers) w'),
    $ring->{owners_md5}, "registered: $ring->{what}");
$node->stop;
done_testing();
