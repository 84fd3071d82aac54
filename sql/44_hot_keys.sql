-- Keys that have more jobs than others: finding them, dividing them.

CREATE FUNCTION durable_work.shard_key(partition_key text, sub_key text, shards integer) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_shard_key';
REVOKE ALL ON FUNCTION durable_work.shard_key(text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.shard_key(text, text, integer) IS
'Divides a busy partition key into several: shard_key(''tenant:7'', ''order:9182'', 8) is ''tenant:7#3''. The number behind # is FNV-1a (32 bits, unsigned) of the sub key''s UTF-8 bytes, modulo shards; so what belongs to one sub key stays in one of them. Works without preloading.
partition_key: null gives null: a job without a key has nothing to be divided
sub_key: within which the order is to be kept; may be empty, not null
shards: how many (1 or more)
Raises 22004 for a null sub key, which would take the job out of every key; 22023 for shards below 1.';

CREATE FUNCTION durable_work.hot_keys(queue text, max_rows integer DEFAULT 20)
RETURNS TABLE (partition_key text, key_hash bigint, waiting bigint, due bigint, processing bigint, share double precision, seen double precision)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 20
AS 'MODULE_PATHNAME', 'durable_work_hot_keys';
REVOKE ALL ON FUNCTION durable_work.hot_keys(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.hot_keys(text, integer) IS
'The partition keys of a queue with the most unfinished jobs, most first, counted when it is called. Keys with a single job are not listed. It sees what is in memory: of a backlog deeper than that the part that comes next.
It walks over memory, 1024 entries a lock hold: a few milliseconds with 262,144 entries, and twice that when the queue has more than 65,536 keys. Then it reads a row of the log for each key. Columns: partition_key (null: the row that has its text is gone), key_hash (as bucket takes it; keys of the same hash are counted as one), waiting, due (of those that wait: could be handed out now), processing (held by workers), share (of the jobs seen, 0 to 1), seen (part of the queue''s unfinished jobs that is in memory, 0 to 1; null while they are being counted after a start).
max_rows: at most so many keys (1 to 10000)
Raises DW002 for an unknown queue; 25006 on a standby.';
