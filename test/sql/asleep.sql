-- More jobs that are due later than the queue has room for: the rest sleeps on disk, and is shown as waiting. Runs with room for
-- 64 jobs, and with any.
SET client_min_messages = warning;
SELECT durable_work.create_queue('asleep');
SELECT count(*) FROM durable_work.enqueue_many('asleep', array_fill('{}'::jsonb, '{200}'), available_ats => array_fill(now() + interval '10 min', '{200}'));
CALL helper.until($$NOT EXISTS (SELECT FROM durable_work.explain_waiting('asleep') WHERE reason = 'loading')$$);
SELECT status, count(*) FROM durable_work.inbox WHERE queue = 'asleep' GROUP BY status;
SELECT state.status, state.next_action, count(*)
FROM durable_work.inbox, durable_work.explain_job(inbox.id) AS state WHERE inbox.queue = 'asleep' GROUP BY 1, 2;
SELECT durable_work.drop_queue('asleep', force => true);
