-- The audit at the end of the demo: one row a check (holds, what, seen).
WITH paid AS (
    SELECT order_id FROM shop.orders WHERE paid_at IS NOT NULL
), receipts_of_paid AS (
    SELECT paid.order_id, count(receipts.order_id) AS receipts
    FROM paid LEFT JOIN shop.receipts USING (order_id) GROUP BY paid.order_id
), jobs AS (
    SELECT id AS job_id, (payload->>'order_id')::bigint AS order_id, status, idempotency_key
    FROM durable_work.inbox WHERE queue = 'receipts'
), tokens AS (
    SELECT lease_token, claimed_at FROM shop.receipts
    UNION ALL
    SELECT lease_token, claimed_at FROM shop.refusals
), crash AS (
    SELECT max(at) AS at FROM shop.incidents WHERE what = 'server killed'
), unpaid AS (
    SELECT order_id FROM shop.orders WHERE paid_at IS NULL
), checks (number, holds, what, seen) AS (
    SELECT 1, count(*) > 0 AND bool_and(receipts = 1),
           'every paid order has exactly one receipt',
           format('%s of %s', count(*) FILTER (WHERE receipts = 1), count(*))
    FROM receipts_of_paid
  UNION ALL
    SELECT 2, count(*) = (SELECT count(*) FROM paid) AND bool_and(status = 'completed'),
           'nothing is lost: a completed job for each',
           format('%s completed, %s unfinished', count(*) FILTER (WHERE status = 'completed'),
                  count(*) FILTER (WHERE status <> 'completed'))
    FROM jobs
  UNION ALL
    SELECT 3, count(receipts.order_id) = 0,
           'no receipt for an order nobody paid',
           format('%s for %s orders', count(receipts.order_id), count(DISTINCT unpaid.order_id))
    FROM unpaid LEFT JOIN shop.receipts USING (order_id)
  UNION ALL
    SELECT 4, count(*) > 0 AND count(jobs.job_id) = 0,
           'a payment rolled back leaves no work behind',
           format('%s jobs for %s declined cards', count(jobs.job_id), count(*))
    FROM (SELECT DISTINCT order_id FROM shop.payment_log JOIN unpaid USING (order_id)
          WHERE outcome = 'card_declined') AS declined
         LEFT JOIN jobs USING (order_id)
  UNION ALL
    SELECT 5, count(*) > 0 AND count(jobs.job_id) = count(*),
           'a declined card does not block the next try',
           format('%s of %s later payments', count(jobs.job_id), count(*))
    FROM (SELECT DISTINCT order_id FROM shop.payment_log JOIN paid USING (order_id)
          WHERE outcome = 'card_declined') AS paid_later
         LEFT JOIN jobs USING (order_id)
  UNION ALL
    SELECT 6, count(*) = count(DISTINCT order_id)
              AND (SELECT count(*) > 0 FROM shop.payment_log JOIN paid USING (order_id)
                   WHERE round = 2 AND outcome = 'not_payable'),
           'paying again makes no second job',
           format('%s paid twice, %s jobs too many',
                  (SELECT count(*) FROM shop.payment_log JOIN paid USING (order_id)
                   WHERE round = 2 AND outcome = 'not_payable'),
                  count(*) - count(DISTINCT order_id))
    FROM jobs
  UNION ALL
    SELECT 7, :resend_asked > 0 AND :resend_made = 0,
           'a second enqueue with the same key makes none',
           format('%s tried, %s made', :resend_asked, :resend_made)
  UNION ALL
    SELECT 8, count(*) > 0 AND bool_and(receipts.worker <> :'killed_worker'),
           'others did the jobs of the killed worker',
           format('%s of %s', count(receipts.worker), count(*))
    FROM shop.leases_of_killed_worker AS held LEFT JOIN shop.receipts USING (job_id)
  UNION ALL
    SELECT 9, count(*) > 0, 'jobs were handed out again',
           format('%s of them', count(*))
    FROM shop.receipts WHERE attempt > 1
  UNION ALL
    SELECT 10, count(*) > 0 AND bool_and(sqlstate = 'DW001') AND count(receipts.lease_token) = 0,
           'stale completions are refused, leaving no row',
           format('%s refused, %s rows', count(*), count(receipts.lease_token))
    FROM shop.refusals LEFT JOIN shop.receipts USING (lease_token)
  UNION ALL
    SELECT 11, count(*) = count(DISTINCT lease_token), 'no fencing token is used twice',
           format('%s tokens', count(*))
    FROM tokens
  UNION ALL
    SELECT 12, max(lease_token) FILTER (WHERE claimed_at < crash.at)
               < min(lease_token) FILTER (WHERE claimed_at > crash.at),
           'tokens after the crash are higher than before',
           format('%s before, %s after', count(*) FILTER (WHERE claimed_at < crash.at),
                  count(*) FILTER (WHERE claimed_at > crash.at))
    FROM tokens, crash
  UNION ALL
    SELECT 13, count(*) FILTER (WHERE worker LIKE 'cpp%') > 0
               AND count(*) FILTER (WHERE worker LIKE 'python%') > 0,
           'both kinds of worker took part',
           format('%s C++, %s Python', count(*) FILTER (WHERE worker LIKE 'cpp%'),
                  count(*) FILTER (WHERE worker LIKE 'python%'))
    FROM shop.receipts
)
SELECT COALESCE(holds, false), what, seen FROM checks ORDER BY number;
