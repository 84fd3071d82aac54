-- Keys of ordered queues: what holds one up, and how it goes on. Keys of fair queues: how much each gets.

CREATE FUNCTION durable_work.key_status(queue text, partition_key text,
    OUT state text, OUT job_id bigint, OUT until timestamptz, OUT waiting bigint,
    OUT in_flight bigint, OUT max_in_flight bigint, OUT available bigint, OUT next_start_at timestamptz,
    OUT blocked_at timestamptz, OUT advice text)
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_key_status';
REVOKE ALL ON FUNCTION durable_work.key_status(text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.key_status(text, text) IS
'What a key does and waits for, as far as its jobs are in memory. job_id: the one that comes next, which has the turn of the key or is the first of those that are due; if none waits, the one in flight whose lease ends first. state: of that job; idle (there is none), ready, limited (it is due, and a limit for each key lets none start; until says when the next one may, null: when one of the key ends), delayed (until says until when), processing (until: the end of its lease), deciding (an open transaction completes, fails or changes it, or has enqueued it), ending (its lease is over, the housekeeper records that), waiting (for others to be loaded), blocked (the job is a dead letter, see unblock_key). waiting: how many more of the key wait. in_flight: how many of it have been handed out and have not ended. max_in_flight: the limit for each key. available: how many of the key its limits let start now, next_start_at: when the next one may, if that is a matter of time; both null without a limit for each key. Limits of the whole queue do not count here. For a queue with ordering, fairness or a limit for each key; in another no job waits because of its key (22023).';

CREATE FUNCTION durable_work.blocked_keys(queue text)
RETURNS TABLE (partition_key text, job_id bigint, blocked_at timestamptz, ending boolean, reason text, error jsonb)
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_blocked_keys';
REVOKE ALL ON FUNCTION durable_work.blocked_keys(text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.blocked_keys(text) IS
'Keys that wait for unblock_key, the one blocked longest first: since when, by which dead letter, and with which reason and last error. ending: those behind it are becoming dead letters, then the key goes on by itself.';

CREATE FUNCTION durable_work.unblock_key(queue text, partition_key text, action text DEFAULT 'retry') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_unblock_key';
REVOKE ALL ON FUNCTION durable_work.unblock_key(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.unblock_key(text, text, text) IS
'Lets a blocked key go on when the transaction commits. action: retry (the dead letter is redriven, and comes first), skip (it stays a dead letter, the next job follows), dead_letter (those that wait behind it now become dead letters too, then the key goes on). DW002: the key is not blocked. DW006: retry, and its dead letter was discarded or redriven to another queue; dead_letter, right after a start of the server.';

CREATE FUNCTION durable_work.set_key_weight(queue text, partition_key text, weight integer) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_set_key_weight';
REVOKE ALL ON FUNCTION durable_work.set_key_weight(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.set_key_weight(text, text, integer) IS
'Lets a key of a queue with fairness have more than one job a round, from the commit on; the view key_weights shows it. 22023 for a queue without fairness. 53400: 4096 keys of the server have a weight already.
weight: up to so many jobs of the key are handed out a round, 1 to 100. Null or 1 is what every other key has.';

CREATE VIEW durable_work.key_weights WITH (security_barrier) AS
SELECT queue.name AS queue,
       CASE WHEN durable_work.may(queue.id, 'read') THEN weighted.partition_key END AS partition_key,
       weighted.weight
FROM durable_work.key_weight AS weighted
JOIN durable_work.queue AS queue ON queue.id OPERATOR(pg_catalog.=) weighted.queue
WHERE durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.key_weights FROM PUBLIC;
COMMENT ON VIEW durable_work.key_weights IS
'Keys that get more than one job a round, see set_key_weight. Of queues on which one has the right to work, operate or monitor; partition_key is null without the right to work or operate.';
