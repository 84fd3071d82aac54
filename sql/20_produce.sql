-- Producing: enqueue, enqueue_many, and what INSERT into the view inbox calls.

-- Named, so that the executor need not build the columns from the catalog at each call.
CREATE TYPE durable_work.enqueued_job AS (job_id bigint, inserted boolean);
COMMENT ON TYPE durable_work.enqueued_job IS
'What enqueue returns. job_id: the job of this call or, when inserted is false, the one that holds the idempotency key.';
REVOKE ALL ON TYPE durable_work.enqueued_job FROM PUBLIC;

CREATE FUNCTION durable_work.enqueue(
    queue text,
    payload jsonb,
    partition_key text DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    priority integer DEFAULT 4,
    available_at timestamptz DEFAULT NULL,
    delay interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL,
    unique_while text DEFAULT 'window',
    on_duplicate text DEFAULT 'return'
) RETURNS durable_work.enqueued_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_enqueue';
REVOKE ALL ON FUNCTION durable_work.enqueue(text, jsonb, text, text, integer, timestamptz, interval, integer, jsonb, timestamptz,
    text, text)
    FROM PUBLIC;
COMMENT ON FUNCTION durable_work.enqueue(text, jsonb, text, text, integer, timestamptz, interval, integer, jsonb, timestamptz,
    text, text) IS
'Adds a job to a queue, as part of the transaction: no worker sees it before the commit, none after a rollback. It never waits for room in shared memory and never fails for lack of it.
queue: DW002 if there is none of that name; default is made on first use.
payload: any jsonb but SQL null.
partition_key: what the job is about (up to 1024 bytes, may be empty); decides its bucket.
idempotency_key: 1 to 512 bytes. The first job under a key keeps it for the queue''s dedupe_window, whatever becomes of the job: the same key with the same payload returns that job and inserted = false, with another payload it raises DW004. While the first use is uncommitted, the call waits for its end. Under REPEATABLE READ a key taken after the snapshot raises 40001: run the transaction again.
priority: 0 (first) to 9 (last).
available_at or delay: not before that time, or that interval after now; a time in the past means at once.
max_attempts: 1 to 32767; null is the queue''s.
headers: a jsonb object that travels with the job.
expires_at: from then on the job is not handed out any more: still waiting, it becomes a dead letter with the reason expired. It must be in the future and later than available_at. An attempt that is under way then may still complete.
unique_while: how long the first job keeps the idempotency_key: window (the dedupe_window), pending (while it waits; no worker gets it before this transaction has ended, so that whoever works on it sees what the transaction wrote), or active (until it is completed, cancelled or a dead letter). The next job under the key takes it over.
on_duplicate: what happens when the key is in use. return gives that job and inserted = false. replace puts this job in its place if it still waits: payload, due time and all other arguments are the new ones, its attempts begin anew, it keeps its number and the time of its enqueue, and inserted = false; with a delay that is a debounce. A job that no longer waits is not replaced: DW006, unless unique_while says that the key is free then. error raises 23505.
Raises DW005 when the queue is full (see max_length of create_queue), DW006 when the job that has the key cannot be held back or replaced because an open transaction is deciding it, 22023 or 22004 for a bad argument, 25006 in a read-only transaction and on a standby.';

CREATE TYPE durable_work.enqueued_jobs AS (ordinal integer, job_id bigint, inserted boolean);
COMMENT ON TYPE durable_work.enqueued_jobs IS
'One job of enqueue_many: its place in the call, from 1, and what enqueue returns.';
REVOKE ALL ON TYPE durable_work.enqueued_jobs FROM PUBLIC;

CREATE FUNCTION durable_work.enqueue_many(
    queue text,
    payloads jsonb[],
    partition_keys text[] DEFAULT NULL,
    idempotency_keys text[] DEFAULT NULL,
    priorities integer[] DEFAULT NULL,
    available_ats timestamptz[] DEFAULT NULL,
    headers jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.enqueued_jobs
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_enqueue_many';
REVOKE ALL ON FUNCTION durable_work.enqueue_many(text, jsonb[], text[], text[], integer[], timestamptz[], jsonb[])
    FROM PUBLIC;
COMMENT ON FUNCTION durable_work.enqueue_many(text, jsonb[], text[], text[], integer[], timestamptz[], jsonb[]) IS
'Adds up to 100,000 jobs to a queue: enqueue for each element, at a fraction of the cost. Nothing is added if one element is refused.
An array that is null gives every job the default; one that is given must be as long as payloads (22023). payloads and priorities must not contain nulls (22004); a null in one of the other arrays means none for that job.
Returns one row for each element, in their order: its number from 1, its job, and false where the idempotency key was taken. Of several elements with one key and payload the first makes the job.';

-- The trigger is made together with the view.
CREATE FUNCTION durable_work.inbox_insert() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_inbox_insert';
REVOKE ALL ON FUNCTION durable_work.inbox_insert() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.inbox_insert() IS
'Turns a row inserted into the view inbox into a job, with the checks of enqueue. queue null is default; a computed column that is given raises 22023; a row whose idempotency key is taken is skipped.';
