# A restore that is slow between its rows and the numbers of its sequences. The housekeeper is at work by
# then: it makes dead letters of jobs whose claim was recorded, and jobs of those for the
# dead_letter_queue. No number is given twice, whatever the sequence says at that moment.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use DurableWork;

my $node = new_server('restore_numbers');
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->safe_psql('postgres', <<'SQL');
SELECT durable_work.create_queue('dead');
SELECT durable_work.create_queue('q', lease => '1 h', delivery => 'at_most_once', dead_letter_queue => 'dead');
DO $$ BEGIN FOR part IN 1..4 LOOP PERFORM count(*) FROM durable_work.enqueue_many('q', array_fill('{}'::jsonb, '{100000}')); END LOOP; END $$;
SQL
my $worker = new_session($node);
is($worker->query(q{SELECT count(*) FROM durable_work.claim('q', 'w', 10)}), '10', 'ten jobs are being worked on');
$node->command_ok([ 'pg_dump', '--file', $file, 'postgres' ], 'pg_dump');
# Newer pg_dumps bind the two ends together.
(my $dump = slurp_file($file)) =~ s/^\\(?:un)?restrict .*\n//gm;
my ($rows, $rest) = $dump =~ /\A(.*?)(^SELECT pg_catalog\.setval\(.*)\z/ms;
append_to_file("$file.rows", $rows);
append_to_file("$file.rest", $rest);
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', "$file.rows" ], 'the rows are in');
ok(wait_until($node, 'copy', 'SELECT count(*) = 10 FROM durable_work.dead_letters'), 'what was being worked on is a dead letter, since nobody knows what became of it');
my $twice = 'SELECT count(*) FROM (SELECT id FROM durable_work.job_0 GROUP BY id HAVING count(*) > 1) AS twice';
is($node->safe_psql('copy', $twice), '0', 'the jobs made of them have numbers of their own');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', "$file.rest" ], 'the numbers are set');
is($node->safe_psql('copy', q{SELECT count(*) FROM durable_work.enqueue_many('dead', array_fill('1'::jsonb, '{200}'))}), '200', 'more jobs');
is($node->safe_psql('copy', $twice), '0', 'have numbers of their own too');
is($node->safe_psql('copy', q{SELECT string_agg(queue || ' ' || unfinished, ', ' ORDER BY queue) FROM durable_work.queue_stats}), 'dead 210, q 399990', 'and all are counted');
is($node->safe_psql('copy', q{SELECT count(DISTINCT job_id) FROM helper.claim('dead', 210)}), '210', 'and handed out');
$node->stop;

done_testing();
