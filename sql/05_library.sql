-- The library that the server has loaded, and whether it is one for this script. Every update script includes this
-- file (sql/update): what follows may name functions that an older library does not have.

CREATE FUNCTION durable_work.library_version() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_library_version';
REVOKE ALL ON FUNCTION durable_work.library_version() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.library_version() IS
'Version of the loaded library. It differs from the extension''s version between an upgrade of the files and the restart of the server, and between that and ALTER EXTENSION durable_work UPDATE.';

-- The server sets the extension's version before it runs a script. A newer library is none of a script's business: the
-- scripts to its version may still be to come.
DO $library_fits$
DECLARE
    library constant text := durable_work.library_version();
    script text;
BEGIN
    SELECT extversion INTO script FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'durable_work';
    IF pg_catalog.string_to_array(pg_catalog.split_part(library, '-', 1), '.')::integer[]
       OPERATOR(pg_catalog.<) pg_catalog.string_to_array(pg_catalog.split_part(script, '-', 1), '.')::integer[]
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DW007',
            MESSAGE = 'library and SQL versions of durable_work do not fit',
            DETAIL = pg_catalog.format('The library that the server has loaded is of version %s, this script is of version %s.', library, script),
            HINT = 'Restart the server, which loads the library that is installed, then run this statement again.';
    END IF;
END
$library_fits$;
