-- set_progress: seen by everybody at once, and gone with the lease.
\pset format unaligned
\pset tuples_only on
SELECT durable_work.create_queue('progress', lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT job_id AS job FROM durable_work.enqueue('progress', '1') \gset
SELECT lease_token AS token FROM durable_work.claim('progress', 'anna', 1) \gset
SELECT progress FROM durable_work.leases WHERE queue = 'progress';
SELECT durable_work.set_progress(job_id => :job, lease_token => :token, progress => '{"rows": 10, "of": 40}');
SELECT job_id = :job, progress FROM durable_work.leases WHERE queue = 'progress';
SELECT status, progress FROM durable_work.explain_job(:job);
-- The last word counts, whatever becomes of the transaction.
BEGIN;
SELECT durable_work.set_progress(:job, :token, '"nearly"');
ROLLBACK;
SELECT progress FROM durable_work.leases WHERE queue = 'progress';
-- As large as it may be, and one more.
SELECT durable_work.set_progress(:job, :token, to_jsonb(repeat('x', 992)));
SELECT length(progress::text) FROM durable_work.leases WHERE queue = 'progress';
SELECT durable_work.set_progress(:job, :token, to_jsonb(repeat('x', 993)));
SELECT length(progress::text) FROM durable_work.leases WHERE queue = 'progress';
SELECT durable_work.set_progress(:job, :token, 'null');
SELECT progress, progress IS NULL FROM durable_work.leases WHERE queue = 'progress';
-- Fenced by the token.
\set VERBOSITY sqlstate
SELECT durable_work.set_progress(:job, 1, '"stale"');
-- The next lease begins without.
SELECT durable_work.release(:job, :token);
SELECT status, progress FROM durable_work.explain_job(:job);
SELECT durable_work.set_progress(:job, :token, '"late"');
SELECT lease_token AS next FROM durable_work.claim('progress', 'anna', 1) \gset
SELECT progress FROM durable_work.leases WHERE queue = 'progress';
SELECT durable_work.set_progress(:job, :next, '"done"');
SELECT durable_work.complete(:job, :next);
SELECT status, progress FROM durable_work.explain_job(:job);
SELECT durable_work.set_progress(:job, :next, '"over"');
SELECT durable_work.drop_queue('progress');
