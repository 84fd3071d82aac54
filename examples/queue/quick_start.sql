-- The quick start of the README, with what to look at afterwards. In a database of its own:
--     createdb queue_example && psql -d queue_example -f quick_start.sql
\set ON_ERROR_STOP on

CREATE EXTENSION IF NOT EXISTS durable_work;
SELECT durable_work.create_queue('mail', lease => '2 min', max_attempts => 5);

-- Where the workers of this folder write what they did.
CREATE TABLE sent (address text NOT NULL, job_id bigint NOT NULL, worker text NOT NULL);

-- The producer. In real life this stands in the transaction that signs Ada up.
SELECT job_id, inserted
FROM durable_work.enqueue(queue => 'mail', payload => '{"to": "ada@example.org"}', idempotency_key => 'welcome:ada');

-- Asked again, the idempotency key gives back the same job.
SELECT job_id, inserted
FROM durable_work.enqueue(queue => 'mail', payload => '{"to": "ada@example.org"}', idempotency_key => 'welcome:ada');

-- A worker: sleep until there is work, claim it, do it and complete it in one transaction.
CALL durable_work.wait_for_work(queues => '{mail}', timeout => '10 s');
SELECT job_id, lease_token, payload FROM durable_work.claim('mail', worker => 'quick-start', max_jobs => 1) \gset
BEGIN;
INSERT INTO sent VALUES (:'payload'::jsonb ->> 'to', :job_id, 'quick-start');
SELECT durable_work.complete(job_id => :job_id, lease_token => :lease_token);
COMMIT;

-- What became of it.
SELECT id, status, attempts FROM durable_work.inbox;
SELECT event, attempt, worker FROM durable_work.history(:job_id);
