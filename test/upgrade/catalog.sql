-- All that the extension's objects are made of, one line for each fact: run in a database with a fresh extension and in
-- one with an updated extension, it must say the same. Object ids, which differ, are written as names.
SET search_path = pg_catalog;
SET intervalstyle = postgres;

CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'durable_work');
CREATE TEMP VIEW relation AS
SELECT pg_class.*, pg_class.oid::regclass::text AS name FROM pg_class
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass)
   OR oid IN (SELECT indexrelid FROM pg_index JOIN member ON classid = 'pg_class'::regclass AND objid = indrelid);
-- Right after CREATE EXTENSION, and all that must still be granted after an update.
CREATE FUNCTION pg_temp.rights(aclitem[]) RETURNS text LANGUAGE sql AS $$SELECT string_agg(item::text, ',' ORDER BY item::text) FROM unnest($1) AS item$$;

SELECT fact FROM (
SELECT 'extension: ' || concat_ws(' ', extversion, extnamespace::regnamespace, extrelocatable) AS fact
FROM pg_extension WHERE extname = 'durable_work'
UNION ALL
SELECT 'member: ' || pg_describe_object(classid, objid, 0) FROM member
UNION ALL
-- Members, and what belongs to members: constraints, triggers, rules, indexes, defaults, types of rows.
SELECT 'depends: ' || pg_describe_object(d.classid, d.objid, d.objsubid) || ' on ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) || ' ' || d.deptype::text
FROM pg_depend d JOIN member ON d.refclassid = member.classid AND d.refobjid = member.objid
WHERE NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT reltoastrelid FROM relation))
UNION ALL
SELECT 'schema: ' || concat_ws(' ', nspname, nspowner::regrole, pg_temp.rights(nspacl), obj_description(oid, 'pg_namespace')) FROM pg_namespace WHERE nspname = 'durable_work'
UNION ALL
SELECT 'relation: ' || concat_ws(' ', name, relkind, relpersistence, relowner::regrole, coalesce((SELECT amname FROM pg_am WHERE pg_am.oid = relam), 'no method'),
    relhasindex, relhasrules, relhastriggers, relrowsecurity, relforcerowsecurity, relreplident, relispartition, relnatts, relchecks,
    'options', coalesce(reloptions::text, '-'), 'rights', coalesce(pg_temp.rights(relacl), '-'),
    'toast options', coalesce((SELECT t.reloptions::text FROM pg_class t WHERE t.oid = relation.reltoastrelid), '-'), 'toast', reltoastrelid <> 0,
    'comment', coalesce(obj_description(oid, 'pg_class'), '-'))
FROM relation
UNION ALL
SELECT 'column: ' || concat_ws(' ', name, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attisdropped, attidentity, attgenerated, attstorage, attcompression,
    attcollation::regcollation, coalesce(attstattarget, -1), 'options', coalesce(attoptions::text, '-'), 'rights', coalesce(pg_temp.rights(attacl), '-'),
    'default', coalesce((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum), '-'),
    'missing', atthasmissing, 'comment', coalesce(col_description(attrelid, attnum), '-'))
FROM relation JOIN pg_attribute ON attrelid = relation.oid WHERE attnum > 0
UNION ALL
SELECT 'index: ' || concat_ws(' ', pg_get_indexdef(indexrelid), indisunique, indisprimary, indimmediate, indisvalid, indisready, indislive, indisreplident, indisclustered)
FROM pg_index JOIN relation ON indrelid = relation.oid
UNION ALL
SELECT 'constraint: ' || concat_ws(' ', conrelid::regclass, conname, contype, convalidated, condeferrable, condeferred, pg_get_constraintdef(pg_constraint.oid), obj_description(pg_constraint.oid, 'pg_constraint'))
FROM pg_constraint JOIN relation ON conrelid = relation.oid
UNION ALL
SELECT 'trigger: ' || concat_ws(' ', tgenabled, pg_get_triggerdef(pg_trigger.oid), tgisinternal, obj_description(pg_trigger.oid, 'pg_trigger'))
FROM pg_trigger JOIN relation ON tgrelid = relation.oid
UNION ALL
SELECT 'rule: ' || concat_ws(' ', ev_class::regclass, rulename, ev_enabled, is_instead, pg_get_ruledef(pg_rewrite.oid))
FROM pg_rewrite JOIN relation ON ev_class = relation.oid
UNION ALL
SELECT 'view: ' || name || ' ' || pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'sequence: ' || concat_ws(' ', name, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
    (SELECT string_agg(pg_describe_object(refclassid, refobjid, refobjsubid), ',') FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i')))
FROM pg_sequence JOIN relation ON seqrelid = relation.oid
UNION ALL
SELECT 'statistics: ' || pg_get_statisticsobjdef(pg_statistic_ext.oid) FROM pg_statistic_ext JOIN relation ON stxrelid = relation.oid
UNION ALL
SELECT 'policy: ' || concat_ws(' ', name, polname, polcmd, polpermissive) FROM pg_policy JOIN relation ON polrelid = relation.oid
UNION ALL
SELECT 'publication: ' || name FROM pg_publication_rel JOIN relation ON prrelid = relation.oid
UNION ALL
SELECT 'function: ' || concat_ws(' ', pg_proc.oid::regprocedure, prokind, proowner::regrole, (SELECT lanname FROM pg_language WHERE pg_language.oid = prolang), procost, prorows,
    prosupport, prosecdef, proleakproof, proisstrict, proretset, provolatile, proparallel, pronargdefaults,
    'arguments', pg_get_function_arguments(pg_proc.oid), 'result', coalesce(pg_get_function_result(pg_proc.oid), '-'),
    'source', prosrc, 'library', coalesce(probin, '-'), 'settings', coalesce(proconfig::text, '-'), 'rights', coalesce(pg_temp.rights(proacl), '-'),
    'comment', coalesce(obj_description(pg_proc.oid, 'pg_proc'), '-'))
FROM pg_proc JOIN member ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid
UNION ALL
SELECT 'type: ' || concat_ws(' ', format_type(pg_type.oid, NULL), typtype, typcategory, typlen, typowner::regrole, coalesce(pg_temp.rights(typacl), '-'), obj_description(pg_type.oid, 'pg_type'))
FROM pg_type JOIN member ON classid = 'pg_type'::regclass AND objid = pg_type.oid
UNION ALL
SELECT 'dumped: ' || configured.relation::regclass || coalesce(' where ' || nullif(condition, ''), '')
FROM pg_extension, unnest(extconfig, extcondition) AS configured (relation, condition) WHERE extname = 'durable_work'
UNION ALL
-- pg_dump writes rights that differ from these.
SELECT 'first rights: ' || pg_describe_object(classoid, objoid, objsubid) || ' ' || privtype::text || ' ' || coalesce(pg_temp.rights(initprivs), '-')
FROM pg_init_privs JOIN member ON member.classid = classoid AND member.objid = objoid
UNION ALL
SELECT 'label: ' || pg_describe_object(classoid, objoid, objsubid) || ' ' || provider || ' ' || label
FROM pg_seclabel JOIN member ON member.classid = classoid AND member.objid = objoid
) AS facts
ORDER BY fact COLLATE "C";
