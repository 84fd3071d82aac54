-- The extension itself.

CREATE FUNCTION durable_work.attach_database() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_attach_database';
REVOKE ALL ON FUNCTION durable_work.attach_database() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.attach_database() IS
'Part of CREATE EXTENSION, refused elsewhere: begins the numbering of lease tokens, and makes enqueue and claim work once the transaction commits.';
