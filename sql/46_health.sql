-- Is everything well: what a monitoring system asks.

CREATE FUNCTION durable_work.health()
RETURNS TABLE ("check" text, severity text, seen text, advice text)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 20
AS 'MODULE_PATHNAME', 'durable_work_health';
REVOKE ALL ON FUNCTION durable_work.health() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.health() IS
'Whether everything is well: one row for each check, always all of them and in the same order. It reads shared memory, catalogs and a few index entries, and is meant to be called every few seconds. It works without preloading, on a standby and while the server starts.
severity is ok; warning: look at it when you have time; critical: jobs wait or will wait because of it; unknown: the check cannot be made here, seen says why. advice says what to do about it, null when that is nothing.
The checks: preloaded, versions, launcher, housekeeper, housekeeping (what the housekeeper does and fails at), epoch, queues, settings, memory, log, damage, snapshots, locks, prepared, paused, keys, workers, dead_letters, redrives. The runbook has a part for each. "check" wants its quotes in an SQL statement.';
