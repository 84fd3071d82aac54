-- Working: claiming jobs under leases, deciding them, waiting for more; and two helpers for handlers' effects.

-- A named type rather than RETURNS TABLE: the executor finds its columns in a cache, where it would otherwise build
-- them from the catalog at each call, which is more work than the claim itself.
CREATE TYPE durable_work.claimed_job AS (
    job_id bigint,
    lease_token bigint,
    queue text,
    partition_key text,
    payload jsonb,
    headers jsonb,
    attempt integer,
    enqueued_at timestamptz,
    lease_expires_at timestamptz,
    priority integer
);
COMMENT ON TYPE durable_work.claimed_job IS
'A job as claim hands it out. lease_token is what complete, fail and the like take; it passes 2^53, so keep it as a 64-bit integer or as text. attempt: how often the job was claimed, this time included. lease_expires_at: until when nobody else gets it.';
REVOKE ALL ON TYPE durable_work.claimed_job FROM PUBLIC;

-- Claiming ------------------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.claim(
    queue text,
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    wait interval DEFAULT '0',
    owned_only boolean DEFAULT false,
    request_id text DEFAULT NULL,
    instance bigint DEFAULT NULL
) RETURNS SETOF durable_work.claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_claim';
REVOKE ALL ON FUNCTION durable_work.claim(text, text, integer, interval, interval, boolean, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.claim(text, text, integer, interval, interval, boolean, text, bigint) IS
'Hands out up to max_jobs (1 to 10000) due jobs, in the order of (priority, job_id), each under a lease: until lease_expires_at nobody else gets the job. Nothing is written. No rows: nothing is due, the queue is paused, or the server has just started.
Call it as a transaction of its own. A queue with delivery at_most_once or durable_claims insists on that (25001): its claims are written to the log, and on disk before the end of the statement is told; use the rows only then. If the call fails, the attempts do not count; if its transaction rolls back after it, they do, and the backoff applies.
lease: how long (above 0, at most 36525 days); null: the lease of the queue. wait (at most 5 s): while nothing is due, sleeps until something is, without polling; refused under REPEATABLE READ and SERIALIZABLE (25001). It keeps a snapshot meanwhile; wait_for_work does not. worker: 1 to 127 bytes.
request_id (1 to 255 bytes, a new one for each new call): for a reply that was lost. The same call again (worker, instance, queues and request_id) hands out nothing new but lists what is left of the batch, with the same tokens and deadlines; while the transaction of the first call is open it waits for it. A batch is remembered while a lease of it is held, and at least until its first deadline; empty ones are not. 53400: too many are held.
instance: the number that register_worker gave (DW006 if the worker was registered again since, or is not any more; no rows while it drains or holds as many jobs as its capacity, and then wait does not wait), or a number of your own that tells processes of one worker name apart in heartbeat. owned_only: only jobs in buckets that this registered worker owns in the queue; it needs its instance, and the queue must be among its queues (22023).
Keep lease_token as a 64 bit integer or as text: it does not fit into a double. Raises DW002 for an unknown queue.';

CREATE FUNCTION durable_work.claim(
    queues text[],
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    wait interval DEFAULT '0',
    owned_only boolean DEFAULT false,
    request_id text DEFAULT NULL,
    instance bigint DEFAULT NULL
) RETURNS SETOF durable_work.claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_claim_queues';
REVOKE ALL ON FUNCTION durable_work.claim(text[], text, integer, interval, interval, boolean, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.claim(text[], text, integer, interval, interval, boolean, text, bigint) IS
'As claim from one queue, from up to 64 queues in the order named: as many as are due in the first, then from the next, until there are max_jobs.';

-- Completing ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.complete(
    job_id bigint,
    lease_token bigint,
    result jsonb DEFAULT NULL
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete';
REVOKE ALL ON FUNCTION durable_work.complete(bigint, bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete(bigint, bigint, jsonb) IS
'Completes the job when the transaction commits: together with what the transaction wrote, or not at all. The result is shown by the view inbox.
True: completed now. False: completed before by this very token, so a lost reply may be asked for again. Raises DW001 when the lease is stale (ran out and was taken up again, job cancelled, server restarted), so that the transaction of a worker that lost its job aborts; DW006 while another open transaction is deciding the job.';

CREATE FUNCTION durable_work.try_complete(
    job_id bigint,
    lease_token bigint,
    result jsonb DEFAULT NULL
) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_try_complete';
REVOKE ALL ON FUNCTION durable_work.try_complete(bigint, bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.try_complete(bigint, bigint, jsonb) IS
'As complete, but says what is the matter in place of raising it: completed, already_completed, in_doubt (another open transaction is deciding the job) or stale.';

CREATE TYPE durable_work.job_outcome AS (job_id bigint, outcome text);
COMMENT ON TYPE durable_work.job_outcome IS
'What became of one job of complete_many or fail_many; the functions say which outcomes there are.';
REVOKE ALL ON TYPE durable_work.job_outcome FROM PUBLIC;

CREATE FUNCTION durable_work.complete_many(
    job_ids bigint[],
    lease_tokens bigint[],
    results jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.job_outcome
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete_many';
REVOKE ALL ON FUNCTION durable_work.complete_many(bigint[], bigint[], jsonb[]) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete_many(bigint[], bigint[], jsonb[]) IS
'As try_complete for each pair of job and token (at most 100000), one row each in the order given. Jobs without result share few rows of the log, so this is the cheapest way to complete. Arrays of different lengths: 22023.';

CREATE TYPE durable_work.completed_or_claimed_job AS (
    outcome text,
    job_id bigint,
    lease_token bigint,
    queue text,
    partition_key text,
    payload jsonb,
    headers jsonb,
    attempt integer,
    enqueued_at timestamptz,
    lease_expires_at timestamptz,
    priority integer
);
COMMENT ON TYPE durable_work.completed_or_claimed_job IS
'A row of complete_and_claim. outcome: claimed for a new job, with the columns that claim returns; for a job that was to be completed completed, already_completed, in_doubt or stale, and the columns after lease_token are null.';
REVOKE ALL ON TYPE durable_work.completed_or_claimed_job FROM PUBLIC;

-- Completing and claiming ---------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.complete_and_claim(
    job_ids bigint[],
    lease_tokens bigint[],
    queue text,
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    owned_only boolean DEFAULT false,
    instance bigint DEFAULT NULL,
    results jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.completed_or_claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete_and_claim';
REVOKE ALL ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text, text, integer, interval, boolean, bigint, jsonb[]) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text, text, integer, interval, boolean, bigint, jsonb[]) IS
'Completes jobs and claims new ones in one call: first one row for each pair of job and token (none to 100000) in the order given, as from complete_many, then one with outcome claimed for each new job, as from claim.
Both are one statement: if it fails nothing is completed and the claims do not count; if its transaction rolls back after it nothing is completed, and the attempts of the new jobs are charged. Raises 0A000 for a queue with delivery at_most_once or durable_claims, DW002 for an unknown queue.';

CREATE FUNCTION durable_work.complete_and_claim(
    job_ids bigint[],
    lease_tokens bigint[],
    queues text[],
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    owned_only boolean DEFAULT false,
    instance bigint DEFAULT NULL,
    results jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.completed_or_claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete_and_claim_queues';
REVOKE ALL ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text[], text, integer, interval, boolean, bigint, jsonb[]) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text[], text, integer, interval, boolean, bigint, jsonb[]) IS
'As complete_and_claim with one queue, claiming from up to 64 queues in the order named.';

-- Failing, giving back, extending, waiting ----------------------------------------------------------------------------

CREATE FUNCTION durable_work.fail(
    job_id bigint,
    lease_token bigint,
    error jsonb DEFAULT NULL,
    retry_in interval DEFAULT NULL,
    retryable boolean DEFAULT true
) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_fail';
REVOKE ALL ON FUNCTION durable_work.fail(bigint, bigint, jsonb, interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.fail(bigint, bigint, jsonb, interval, boolean) IS
'The attempt failed. Returns retry: the job is due again after retry_in, or else after the backoff of the queue; or dead_letter: no attempt was left, retryable was false, or expires_at has passed.
error: at most 1 MB, kept with the attempt and shown by the views attempts and dead_letters. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job.';

CREATE FUNCTION durable_work.fail_many(
    job_ids bigint[],
    lease_tokens bigint[],
    errors jsonb[] DEFAULT NULL,
    retry_in interval DEFAULT NULL,
    retryable boolean DEFAULT true
) RETURNS SETOF durable_work.job_outcome
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_fail_many';
REVOKE ALL ON FUNCTION durable_work.fail_many(bigint[], bigint[], jsonb[], interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.fail_many(bigint[], bigint[], jsonb[], interval, boolean) IS
'As fail for each pair of job and token (at most 100000), one row each in the order given: retry, dead_letter, in_doubt or stale. The last two are not raised.';

CREATE FUNCTION durable_work.release(
    job_id bigint,
    lease_token bigint
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_release';
REVOKE ALL ON FUNCTION durable_work.release(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.release(bigint, bigint) IS
'Gives the job back when the transaction commits: due at once, the attempt does not count. Nothing is written, unless the claim was. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job, and in a queue with delivery at_most_once.';

CREATE FUNCTION durable_work.defer(
    job_id bigint,
    lease_token bigint,
    until timestamptz
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_defer';
REVOKE ALL ON FUNCTION durable_work.defer(bigint, bigint, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.defer(bigint, bigint, timestamptz) IS
'Gives the job back when the transaction commits: due at that time (finite, at most a hundred years ahead; in the past means at once), the attempt does not count. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job, and in a queue with delivery at_most_once.';

CREATE FUNCTION durable_work.reject(
    job_id bigint,
    lease_token bigint,
    reason text
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_reject';
REVOKE ALL ON FUNCTION durable_work.reject(bigint, bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.reject(bigint, bigint, text) IS
'Makes the job a dead letter when the transaction commits, whatever attempts are left. reason: 1 to 1024 bytes. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job.';

CREATE FUNCTION durable_work.extend_lease(
    job_id bigint,
    lease_token bigint,
    lease interval DEFAULT NULL
) RETURNS timestamptz
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_extend_lease';
REVOKE ALL ON FUNCTION durable_work.extend_lease(bigint, bigint, interval) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.extend_lease(bigint, bigint, interval) IS
'The lease ends this long from now (null: the lease of the queue); returns when. It takes effect at once and stays if the transaction rolls back. Nothing is written. It never ends later than the max_runtime of the queue after the claim. Raises DW001 when the lease is stale, DW006 when max_runtime leaves nothing to extend.';

CREATE FUNCTION durable_work.heartbeat(
    worker text,
    lease interval DEFAULT NULL,
    instance bigint DEFAULT NULL
) RETURNS TABLE (job_id bigint, queue text, lease_expires_at timestamptz, state text)
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_heartbeat';
REVOKE ALL ON FUNCTION durable_work.heartbeat(text, interval, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.heartbeat(text, interval, bigint) IS
'Extends every lease that was taken with this worker name and instance (null: without one), as extend_lease does (for a registered worker also the sign that it is alive; DW006 if it was registered again since, or is not any more), and lists them by job_id; one that max_runtime does not let go any further keeps its lease_expires_at. state: leased; cancelled: the job was cancelled, stop working on it; lost: the lease ran out. A job that is missing from the list is not held any more.';

CREATE FUNCTION durable_work.set_progress(
    job_id bigint,
    lease_token bigint,
    progress jsonb
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_set_progress';
REVOKE ALL ON FUNCTION durable_work.set_progress(bigint, bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.set_progress(bigint, bigint, jsonb) IS
'Says how far the job is; shown by the view leases and by explain_job at once, whatever becomes of the calling transaction. In memory only: at most 1000 bytes as jsonb, gone when the lease ends, and when more jobs report than there are places for (one for each 64 jobs that fit into memory, 16 to 1024) the one that was written longest ago. Raises DW001 when the lease is stale.';

CREATE PROCEDURE durable_work.wait_for_work(
    queues text[],
    timeout interval,
    worker text DEFAULT NULL,
    instance bigint DEFAULT NULL
)
LANGUAGE c
AS 'MODULE_PATHNAME', 'durable_work_wait_for_work';
REVOKE ALL ON PROCEDURE durable_work.wait_for_work(text[], interval, text, bigint) FROM PUBLIC;
COMMENT ON PROCEDURE durable_work.wait_for_work(text[], interval, text, bigint) IS
'Sleeps until one of the queues (1 to 64) has a due job or is dropped, or for the timeout (at most durable_work.max_wait). It holds no snapshot meanwhile, and does not poll. Claim after it; there may be nothing left, if another worker was quicker, and the claim raises DW002 if a queue was dropped.
worker and instance (both or neither): of a registered worker that claims with owned_only. Only jobs that are in its buckets wake it, it counts as alive while it sleeps, and the sleep ends when it is to drain; DW006 as in claim.
CALL it as a statement of its own: inside of a transaction block it raises 25001.';

CREATE PROCEDURE durable_work.wait_for_job(
    job_id bigint,
    timeout interval,
    INOUT status text DEFAULT NULL,
    INOUT result jsonb DEFAULT NULL
)
LANGUAGE c
AS 'MODULE_PATHNAME', 'durable_work_wait_for_job';
REVOKE ALL ON PROCEDURE durable_work.wait_for_job(bigint, interval, text, jsonb) FROM PUBLIC;
COMMENT ON PROCEDURE durable_work.wait_for_job(bigint, interval, text, jsonb) IS
'Sleeps until the job has ended, or for the timeout (at most durable_work.max_wait), and returns its status then and, if it was completed with one, its result. An ended job is completed, dead_letter or cancelled; pending and processing mean that the time was over. It holds no snapshot meanwhile, and does not poll. Leave status and result out, or give null for them.
CALL it as a statement of its own: inside of a transaction block it raises 25001. Raises DW002 for an unknown job, also when its queue is dropped meanwhile.';

CREATE FUNCTION durable_work.mark_handled(
    handler text,
    key text,
    dedupe_window interval DEFAULT '7 d'
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_mark_handled';
REVOKE ALL ON FUNCTION durable_work.mark_handled(text, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.mark_handled(text, text, interval) IS
'For effects that must not happen twice, in the transaction of the effect. True: the first time for this handler and key; false: it was marked within its dedupe_window (1 s to 36525 days). Whoever comes second waits for the first one''s transaction. handler: 1 to 255 bytes, key: 1 to 1024 bytes. Under REPEATABLE READ it may raise 40001.';

CREATE FUNCTION durable_work.fence(
    resource text,
    lease_token bigint
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_fence';
REVOKE ALL ON FUNCTION durable_work.fence(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.fence(text, bigint) IS
'Raises DW001 if the resource (1 to 1024 bytes) has been used with a higher lease token before. Call it in the transaction of the effect; others wait for its end. Under REPEATABLE READ it may raise 40001.';
