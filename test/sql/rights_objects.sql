-- Every object of the schema, by role: out of the catalog, so that a new one shows here until it has its place in the
-- expected output. rights_matrix does the same for what functions and views let a role do.
SET client_min_messages = warning;
DROP ROLE IF EXISTS objects_nobody, objects_enqueue, objects_work, objects_operate, objects_monitor, objects_all, objects_super;
CREATE ROLE objects_nobody;
CREATE ROLE objects_enqueue;
CREATE ROLE objects_work;
CREATE ROLE objects_operate;
CREATE ROLE objects_monitor;
CREATE ROLE objects_all;
CREATE ROLE objects_super SUPERUSER;
CREATE SCHEMA objects_own;
GRANT ALL ON SCHEMA objects_own TO PUBLIC;

SELECT durable_work.create_queue('objects');
SELECT durable_work.grant_queue('objects', 'objects_' || r, r), durable_work.grant_queue(NULL, 'objects_all', r) FROM unnest('{enqueue,work,operate,monitor}'::text[]) AS r;
SELECT 'rights_' || id AS rights_table FROM durable_work.queue WHERE name = 'objects' \gset

CREATE TEMP TABLE member (place serial, role text);
INSERT INTO member (role) VALUES ('objects_nobody'), ('objects_enqueue'), ('objects_work'), ('objects_operate'), ('objects_monitor'), ('objects_all'), ('objects_super');

-- Each object with each privilege that there is for its kind; a table's also by column. What it is called in the output: the numbers
-- of queues differ from run to run.
CREATE TEMP VIEW object AS
SELECT 'pg_class'::regclass AS catalog, pg_class.oid, relowner AS owner, relacl AS acl,
       CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type' WHEN 'f' THEN 'table'
                    WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE relkind::text END AS kind,
       regexp_replace(relname, '^rights_[0-9]+$', 'rights_N') AS name
FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace
UNION ALL
SELECT 'pg_proc'::regclass, oid, proowner, proacl, 'function', proname FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace
UNION ALL
-- Rows of tables and views have types too, and arrays of them: the server lets everybody who may name them use them.
SELECT 'pg_type'::regclass, oid, typowner, typacl, 'type', typname FROM pg_type
WHERE typnamespace = 'durable_work'::regnamespace AND typelem = 0 AND coalesce((SELECT relkind FROM pg_class WHERE pg_class.oid = typrelid), 'c') = 'c'
UNION ALL
SELECT 'pg_namespace'::regclass, oid, nspowner, nspacl, 'schema', nspname FROM pg_namespace WHERE nspname = 'durable_work';

CREATE FUNCTION pg_temp.privileges(role text, kind text, object oid) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(privilege, ' ' ORDER BY n), '-') FROM (
        SELECT n, privilege FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) WITH ORDINALITY AS p (privilege, n)
        WHERE CASE WHEN kind IN ('table', 'view') THEN has_table_privilege(role, object, privilege) END
        UNION ALL
        SELECT 10 + n, 'column ' || privilege FROM unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) WITH ORDINALITY AS p (privilege, n)
        WHERE CASE WHEN kind IN ('table', 'view') THEN has_any_column_privilege(role, object, privilege) AND NOT has_table_privilege(role, object, privilege) END
        UNION ALL
        SELECT n, privilege FROM unnest('{USAGE,SELECT,UPDATE}'::text[]) WITH ORDINALITY AS p (privilege, n)
        WHERE CASE WHEN kind = 'sequence' THEN has_sequence_privilege(role, object, privilege) END
        UNION ALL
        SELECT 1, 'EXECUTE' WHERE CASE WHEN kind = 'function' THEN has_function_privilege(role, object, 'EXECUTE') END
        UNION ALL
        SELECT 1, 'USAGE' WHERE CASE WHEN kind = 'type' THEN has_type_privilege(role, object, 'USAGE') END
        UNION ALL
        SELECT n, privilege FROM unnest('{USAGE,CREATE}'::text[]) WITH ORDINALITY AS p (privilege, n)
        WHERE CASE WHEN kind = 'schema' THEN has_schema_privilege(role, object, privilege) END
    ) AS held $$;

-- The matrix. Objects with the same rights stand together.
CREATE TEMP VIEW matrix AS
SELECT kind, name,
       pg_temp.privileges('objects_nobody', kind, oid) AS nobody,
       pg_temp.privileges('objects_enqueue', kind, oid) AS enqueue,
       pg_temp.privileges('objects_work', kind, oid) AS work,
       pg_temp.privileges('objects_operate', kind, oid) AS operate,
       pg_temp.privileges('objects_monitor', kind, oid) AS monitor,
       pg_temp.privileges('objects_all', kind, oid) AS "all on every queue"
FROM object WHERE kind <> 'index' AND NOT (catalog = 'pg_class'::regclass AND kind = 'type')
  AND (name <> 'rights_N' OR oid = ('durable_work.' || :'rights_table')::regclass);
SELECT kind, count(*), string_agg(name, ' ' ORDER BY name) AS objects, nobody, enqueue, work, operate, monitor, "all on every queue"
FROM matrix GROUP BY kind, nobody, enqueue, work, operate, monitor, "all on every queue"
ORDER BY kind, min(name)
\g (format=unaligned fieldsep=' | ' footer=off)

-- Nothing for PUBLIC, and no right that may be passed on.
SELECT kind, name, item.grantee::regrole, privilege_type, is_grantable
FROM object CROSS JOIN LATERAL aclexplode(acl) AS item WHERE item.grantee = 0 OR (is_grantable AND item.grantee <> owner) ORDER BY 1, 2, 3, 4;
SELECT attrelid::regclass, attname FROM pg_attribute JOIN object ON catalog = 'pg_class'::regclass AND oid = attrelid WHERE attacl IS NOT NULL;
SELECT defaclnamespace::regnamespace, defaclobjtype, defaclacl FROM pg_default_acl WHERE defaclnamespace = 'durable_work'::regnamespace;
-- All of it, with indexes and what is stored out of line, has one owner.
SELECT kind, name, owner::regrole FROM object WHERE owner <> (SELECT extowner FROM pg_extension WHERE extname = 'durable_work')
UNION ALL
SELECT 'toast', toast.relname, toast.relowner::regrole FROM object JOIN pg_class ON catalog = 'pg_class'::regclass AND pg_class.oid = object.oid JOIN pg_class AS toast ON toast.oid = pg_class.reltoastrelid
WHERE toast.relowner <> object.owner;
-- What is not in the schema is no part of the extension, and there is no kind of object that this file does not know.
SELECT DISTINCT classid::regclass AS catalog FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'durable_work') ORDER BY 1;
SELECT pg_describe_object(classid, objid, objsubid) AS elsewhere FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'durable_work') AND NOT EXISTS (SELECT FROM object WHERE catalog = classid AND oid = objid) AND classid <> 'pg_type'::regclass;
SELECT pg_describe_object(classid, objid, 0) AS other FROM (
    SELECT 'pg_operator'::regclass AS classid, oid AS objid, oprnamespace AS namespace FROM pg_operator
    UNION ALL SELECT 'pg_opclass', oid, opcnamespace FROM pg_opclass UNION ALL SELECT 'pg_opfamily', oid, opfnamespace FROM pg_opfamily
    UNION ALL SELECT 'pg_collation', oid, collnamespace FROM pg_collation UNION ALL SELECT 'pg_conversion', oid, connamespace FROM pg_conversion
    UNION ALL SELECT 'pg_ts_config', oid, cfgnamespace FROM pg_ts_config UNION ALL SELECT 'pg_ts_dict', oid, dictnamespace FROM pg_ts_dict) AS found
WHERE namespace = 'durable_work'::regnamespace;
SELECT evtname FROM pg_event_trigger WHERE evtfoid IN (SELECT oid FROM object WHERE kind = 'function');

-- Functions: all in the library, none with the rights of its owner, none with settings of its own (a setting is a reason to
-- look at what it does), none leakproof.
SELECT lanname, probin, prosecdef, proleakproof, proconfig, count(*) > 50 AS functions FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
WHERE pronamespace = 'durable_work'::regnamespace GROUP BY 1, 2, 3, 4, 5;
-- Views run with the rights of their owner, so each row is asked about (may), or comes from a function that asks. Nobody's
-- condition sees a row before that: without a barrier only what has no condition of its own.
SELECT relname, coalesce(array_to_string(reloptions, ','), '-') AS options, pg_get_viewdef(oid) ~ 'durable_work\.may\(' AS asks
FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'v' ORDER BY relname;
-- Triggers and rules; a trigger runs as whoever writes, its function is not to be called by others.
SELECT regexp_replace(tgrelid::regclass::text, '[0-7]$', 'N') AS relation, tgname, tgfoid::regproc AS function, tgenabled, tgqual IS NOT NULL AS has_condition, count(*)
FROM pg_trigger JOIN object ON catalog = 'pg_class'::regclass AND object.oid = tgrelid GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;
SELECT ev_class::regclass, rulename FROM pg_rewrite JOIN object ON catalog = 'pg_class'::regclass AND object.oid = ev_class WHERE rulename <> '_RETURN';

-- What the catalog says is tried: every statement on every table and sequence, by each role.
CREATE FUNCTION pg_temp.try(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE statement;
    RAISE EXCEPTION 'all of it is taken back' USING ERRCODE = 'UNDO0';
EXCEPTION WHEN OTHERS THEN
    RETURN CASE SQLSTATE WHEN 'UNDO0' THEN 'ok' ELSE SQLSTATE END;
END $$;
CREATE FUNCTION objects_own.trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
GRANT EXECUTE ON FUNCTION objects_own.trigger TO PUBLIC;
CREATE TEMP TABLE attempt (kind text, what text, statement text);
INSERT INTO attempt VALUES
    ('table', 'select', 'SELECT count(*) FROM %1$s'),
    ('table', 'whole row', 'SELECT t FROM %1$s AS t'),
    ('table', 'insert', 'INSERT INTO %1$s SELECT (NULL::%1$s).*'),
    ('table', 'default', 'INSERT INTO %1$s DEFAULT VALUES'),
    ('table', 'update', 'UPDATE %1$s SET %2$I = %2$I'),
    ('table', 'delete', 'DELETE FROM %1$s'),
    ('table', 'truncate', 'TRUNCATE %1$s'),
    ('table', 'lock', 'LOCK TABLE %1$s IN ACCESS EXCLUSIVE MODE NOWAIT'),
    ('table', 'reference', 'CREATE TABLE objects_own.refers (id bigint REFERENCES %1$s (%2$I))'),
    ('table', 'inherit', 'CREATE TABLE objects_own.heir () INHERITS (%1$s)'),
    ('table', 'trigger', 'CREATE TRIGGER own BEFORE INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION objects_own.trigger()'),
    ('table', 'rule', 'CREATE RULE own AS ON INSERT TO %1$s DO ALSO NOTHING'),
    ('table', 'policy', 'CREATE POLICY own ON %1$s'),
    ('table', 'index', 'CREATE INDEX ON %1$s (%2$I)'),
    ('table', 'statistics', 'CREATE STATISTICS objects_own.own ON tableoid, %2$I FROM %1$s'),
    ('table', 'alter', 'ALTER TABLE %1$s ADD COLUMN own int'),
    ('table', 'partition', 'CREATE TABLE objects_own.part PARTITION OF %1$s FOR VALUES IN (-7)'),
    ('table', 'drop', 'DROP TABLE %1$s'),
    ('table', 'comment', 'COMMENT ON TABLE %1$s IS NULL'),
    ('sequence', 'nextval', 'SELECT nextval(%1$L)'),
    ('sequence', 'setval', 'SELECT setval(%1$L, 1)'),
    ('sequence', 'read', 'SELECT last_value FROM %1$s'),
    ('sequence', 'alter', 'ALTER SEQUENCE %1$s RESTART'),
    ('sequence', 'owned', 'ALTER SEQUENCE %1$s OWNED BY NONE');
CREATE TEMP VIEW tried AS
SELECT member.place, replace(member.role, 'objects_', '') AS role, object.name, attempt.what,
       pg_temp.try(member.role, format(statement, object.oid::regclass, (SELECT attname FROM pg_attribute WHERE attrelid = object.oid AND attnum = 1))) AS result
FROM object JOIN attempt USING (kind) CROSS JOIN member
WHERE member.role <> 'objects_super' AND (object.name <> 'rights_N' OR object.oid = ('durable_work.' || :'rights_table')::regclass);
-- A role without the schema cannot name them (42501 too). All that is not refused for want of a right, or because of what the
-- statement is about (0A000, 42P16, 42P17, 42809, 42830: not for that kind of table, for whoever):
SELECT name, what, string_agg(role || ' ' || result, ', ' ORDER BY place) AS "not refused" FROM tried
WHERE result NOT IN ('42501', '0A000', '42P16', '42P17', '42809', '42830') GROUP BY name, what ORDER BY name, what;
SELECT count(*) > 3000 AS tried FROM tried;

-- Who has made a queue, without being the owner, has rights on it and no table.
GRANT USAGE ON SCHEMA durable_work TO objects_nobody;
GRANT EXECUTE ON FUNCTION durable_work.create_queue, durable_work.grant_queue, durable_work.drop_queue TO objects_nobody;
SET ROLE objects_nobody;
SELECT durable_work.create_queue('objects_own');
SELECT durable_work.grant_queue('objects_own', 'objects_work', 'work');
RESET ROLE;
SELECT relowner = (SELECT extowner FROM pg_extension WHERE extname = 'durable_work') AS one_owner, pg_has_role('objects_nobody', relowner, 'MEMBER') AS is_member
FROM pg_class WHERE relname = (SELECT 'rights_' || id FROM durable_work.queue WHERE name = 'objects_own');

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'objects%';
DROP SCHEMA objects_own CASCADE;
DROP OWNED BY objects_nobody, objects_enqueue, objects_work, objects_operate, objects_monitor, objects_all;
DROP ROLE objects_nobody, objects_enqueue, objects_work, objects_operate, objects_monitor, objects_all, objects_super;
