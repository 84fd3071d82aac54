"""The queues of the torture and what may be done with the jobs of each."""

# Options of create_queue. Finished jobs are kept for a moment only, so the log goes round.
QUEUES = {
    "load": "max_attempts => 5",
    "ordered": "max_attempts => 3, ordering => 'key', on_exhausted => 'hold'",
    "family": "max_attempts => 2, ordering => 'key', on_exhausted => 'dead_letter_key'",
    "fair": "max_attempts => 5, fairness => 'key'",
    "once": "delivery => 'at_most_once'",
    "durable": "max_attempts => 3, durable_claims => true, strict => true",
    "bounded": "max_attempts => 5, max_length => 100",
    "ring": "max_attempts => 5, buckets => 60",
    "unique": "max_attempts => 5",
    "bulk": "max_attempts => 5",
    "purged": "max_attempts => 5",
}
COMMON = "lease => '1 s', backoff => 'fixed', backoff_base => '20 ms', retention => '3 s'"

MAX_ATTEMPTS = {"once": 1, "ordered": 3, "family": 2, "durable": 3}     # else 5
KEYED = ("ordered", "family", "fair", "ring")
ORDERED = ("ordered", "family")
# Their claims are transactions of their own, and a job that was given back would count as another attempt.
WRITTEN_CLAIMS = ("once", "durable")
# Jobs may be gone by a call that names none of them.
SWEPT = ("bulk", "purged")
REDRIVEN = ("load", "fair", "bounded", "ring", "unique", "bulk")

SCHEMA = """
CREATE TABLE tx (name text NOT NULL);
CREATE TABLE receipt (job_id bigint NOT NULL, token bigint NOT NULL, tx text NOT NULL);
CREATE TABLE effect (key text NOT NULL, tx text NOT NULL);
CREATE FUNCTION in_block(queue text, payload jsonb, undo boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    made bigint;
BEGIN
    SELECT job_id INTO made FROM durable_work.enqueue(queue, payload);
    IF undo THEN
        RAISE EXCEPTION division_by_zero;
    END IF;
    RETURN made;
EXCEPTION WHEN division_by_zero THEN
    RETURN NULL;
END
$$;
-- What the views say beside what the tables say: a row for each queue that differs.
CREATE VIEW differences AS
SELECT queue.name, stats.ready, stats.delayed, stats.processing, stats.blocked, stats.spilled, stats.unfinished, stats.dead_letter,
       job.pending AS counted_pending, job.processing AS counted_processing, dead.letters AS counted_dead
FROM durable_work.queue AS queue
JOIN durable_work.queue_stats AS stats ON stats.queue = queue.name
LEFT JOIN (SELECT queue, count(*) FILTER (WHERE status = 'pending') AS pending, count(*) FILTER (WHERE status = 'processing') AS processing
           FROM durable_work.inbox GROUP BY queue) AS job ON job.queue = queue.name
LEFT JOIN (SELECT queue, count(*) AS letters FROM durable_work.dead_letters GROUP BY queue) AS dead ON dead.queue = queue.name
WHERE stats.unfinished IS DISTINCT FROM COALESCE(job.pending + job.processing, 0)
   OR stats.processing IS DISTINCT FROM COALESCE(job.processing, 0)
   OR stats.ready + stats.delayed + stats.blocked + stats.spilled IS DISTINCT FROM COALESCE(job.pending, 0)
   OR stats.dead_letter IS DISTINCT FROM COALESCE(dead.letters, 0);
"""


def create(connection):
    connection.execute("CREATE EXTENSION durable_work")
    connection.execute(SCHEMA)
    for name, options in QUEUES.items():
        connection.execute(f"SELECT durable_work.create_queue('{name}', {options}, {COMMON})")


def max_attempts(queue):
    return MAX_ATTEMPTS.get(queue, 5)
