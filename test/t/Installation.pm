# A copy of the installed server for one test, so that it can put other files of the extension there. The programs find
# the rest by their own place: they are linked hard or copied, the rest is linked.
package Installation;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_installation);

# Its versions: current() is what is installed, released() those that the tests keep in test/upgrade.
sub new_installation {
    my $self = bless { top => PostgreSQL::Test::Utils::tempdir }, __PACKAGE__;
    my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
    for my $what (qw(bindir pkglibdir sharedir)) {
        chomp(my $path = `$pg_config --$what`);
        die "$pg_config does not answer" if $? != 0;
        $self->{original}{$what} = $path;
        $self->{$what} = $self->{top} . $path;
        make_path($self->{$what});
    }
    for my $program (glob "$self->{original}{bindir}/*") {
        my $own = "$self->{bindir}/" . basename($program);
        link($program, $own) or copy_program($program, $own);
    }
    make_path("$self->{sharedir}/extension");
    for my $file (glob("$self->{original}{pkglibdir}/*"), glob("$self->{original}{sharedir}/*"), glob("$self->{original}{sharedir}/extension/*")) {
        next if basename($file) =~ /^durable_work/ || $file eq "$self->{original}{sharedir}/extension";
        symlink($file, $self->{top} . $file) or die "symlink $file: $!";
    }
    for my $file ("$self->{original}{pkglibdir}/durable_work.so", glob("$self->{original}{sharedir}/extension/durable_work*")) {
        copy($file, $self->{top} . $file) or die "copy $file: $!";
    }
    ($self->{current}) = PostgreSQL::Test::Utils::slurp_file("$self->{sharedir}/extension/durable_work.control") =~ /^default_version\s*=\s*'(.*)'/m;
    return $self;
}

sub copy_program {
    my ($from, $to) = @_;
    copy($from, $to) or die "copy $from: $!";
    chmod 0755, $to;
    return;
}

sub current { return $_[0]{current}; }
sub library { return "$_[0]{pkglibdir}/durable_work.so"; }
sub kept { return "$FindBin::RealBin/../upgrade"; }

sub released {
    my ($self) = @_;
    return map { /durable_work--(.*)\.sql$/ } glob $self->kept . '/durable_work--*.sql';
}

# Scripts of one's own: write_script('1.0--2.0', text).
sub write_script {
    my ($self, $versions, $text) = @_;
    my $path = "$self->{sharedir}/extension/durable_work--$versions.sql";
    unlink $path;
    PostgreSQL::Test::Utils::append_to_file($path, $text);
    return;
}

sub read_script {
    my ($self, $versions) = @_;
    return PostgreSQL::Test::Utils::slurp_file("$self->{sharedir}/extension/durable_work--$versions.sql");
}

# CREATE EXTENSION durable_work VERSION '...' for a released version.
sub offer_released {
    my ($self, $version) = @_;
    $self->write_script($version, PostgreSQL::Test::Utils::slurp_file($self->kept . "/durable_work--$version.sql"));
    return;
}

# As packages and make install do it: another file of the same name, not other bytes in the same file.
sub replace_library {
    my ($self, $bytes) = @_;
    my $new = $self->library . '.new';
    unlink $new;
    PostgreSQL::Test::Utils::append_to_file($new, $bytes);
    chmod 0755, $new;
    rename $new, $self->library or die "rename: $!";
    return;
}

sub new_node {
    my ($self, $name) = @_;
    return PostgreSQL::Test::Cluster->new($name, install_path => dirname($self->{bindir}));
}

1;
