\echo Use "CREATE EXTENSION durable_work" to load this file. \quit

-- Install script of durable_work, by subject. The files of sql/ are joined in the order of their names.

-- Everything runs inside CREATE EXTENSION, as a superuser and with durable_work first in the search path. So a schema
-- that somebody else has prepared is refused: an operator or a function in it could be picked up in place of the
-- server's own.
DO $own_schema$
DECLARE
    strangers bigint;
BEGIN
    SELECT pg_catalog.count(*) INTO strangers
    FROM (SELECT relnamespace FROM pg_catalog.pg_class
          UNION ALL SELECT pronamespace FROM pg_catalog.pg_proc
          UNION ALL SELECT oprnamespace FROM pg_catalog.pg_operator
          UNION ALL SELECT typnamespace FROM pg_catalog.pg_type
          UNION ALL SELECT collnamespace FROM pg_catalog.pg_collation
          UNION ALL SELECT conversion.connamespace FROM pg_catalog.pg_conversion AS conversion
          UNION ALL SELECT opcnamespace FROM pg_catalog.pg_opclass) AS member (namespace)
    WHERE namespace OPERATOR(pg_catalog.=) 'durable_work'::pg_catalog.regnamespace;
    IF strangers OPERATOR(pg_catalog.>) 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DW006',
            MESSAGE = 'schema durable_work is not empty',
            HINT = 'Drop or rename the schema, then run CREATE EXTENSION durable_work again.';
    END IF;
    IF (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) 'durable_work')
       OPERATOR(pg_catalog.<>) (SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DW006',
            MESSAGE = 'schema durable_work belongs to another role',
            HINT = 'Drop or rename the schema, then run CREATE EXTENSION durable_work again.';
    END IF;
END
$own_schema$;

REVOKE ALL ON SCHEMA durable_work FROM PUBLIC;
COMMENT ON SCHEMA durable_work IS 'Durable job queue: the functions and views to use, and the tables of its log';
