-- The first of every schedule: the extension, for all the tests after it.
CREATE EXTENSION durable_work;
SELECT extversion FROM pg_extension WHERE extname = 'durable_work';
SELECT durable_work.library_version() = extversion AS library_fits FROM pg_extension WHERE extname = 'durable_work';
-- A queue, a job, a claim: at once.
SELECT durable_work.create_queue('first');
SELECT inserted FROM durable_work.enqueue('first', '{"hello": "world"}');
SELECT payload, attempt FROM durable_work.claim('first', 'w');
SELECT durable_work.drop_queue('first', force => true);
-- There is one of it in a database, in a schema of its own that cannot be chosen.
CREATE EXTENSION durable_work;
CREATE SCHEMA elsewhere;
ALTER EXTENSION durable_work SET SCHEMA elsewhere;
DROP SCHEMA elsewhere;
