-- Rights on queues, for roles that are not the owner of the extension.
--
-- Each queue that somebody has a right on has a table of its own, rights_<number of the queue>: a partition of queue_right
-- without rows. A right is a privilege on it: INSERT is enqueue, REFERENCES work, UPDATE operate and SELECT monitor. What
-- the server does with privileges is right for these too: membership, SET ROLE, renaming and dropping of roles, DROP OWNED,
-- pg_dump, pg_upgrade. A privilege on queue_right itself is a right on every queue. Being partitions, they go with the
-- extension; not being members of it, they are dumped.

CREATE TABLE durable_work.queue_right (
    queue integer NOT NULL,
    CONSTRAINT holds_no_rows CHECK (false)
) PARTITION BY LIST (queue);
REVOKE ALL ON durable_work.queue_right FROM PUBLIC;
COMMENT ON TABLE durable_work.queue_right IS
'Rights on queues: of each queue that somebody was granted a right on there is a partition without rows, and the privileges on that are the rights; see the view queue_grants';

CREATE FUNCTION durable_work.may(queue integer, "right" text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_may';
REVOKE ALL ON FUNCTION durable_work.may(integer, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.may(integer, text) IS
'Whether the current user has a right on the queue of that number (0: on every queue): enqueue, work, operate, monitor; read (work or operate), see (one of those or monitor), any. What the views ask.';

CREATE FUNCTION durable_work.grant_queue(queue text, role text, "right" text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_grant_queue';
REVOKE ALL ON FUNCTION durable_work.grant_queue(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.grant_queue(text, text, text) IS
'Gives a role a right on a queue, with what it needs: USAGE on the schema, EXECUTE on the functions and SELECT on the views. It takes effect when the transaction commits. Repeating it does nothing. The owner of the extension and superusers may call it; others need EXECUTE on it and operate on the queue. The view queue_grants shows who has what.
queue: null is every queue, also those that are made later.
role: its name as pg_roles has it; members of the role have the right with it. 42704 if there is none, 22023 for PUBLIC.
right: enqueue adds jobs; work claims and finishes them; operate changes, cancels and redrives them and alters the queue; monitor sees numbers and states. Payloads, headers, keys, results and errors show with work or operate only. Raises DW002 for an unknown queue.';

CREATE FUNCTION durable_work.revoke_queue(queue text, role text, "right" text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_revoke_queue';
REVOKE ALL ON FUNCTION durable_work.revoke_queue(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.revoke_queue(text, text, text) IS
'Takes a right on a queue from a role, or all of them when right is null, together with what no other right of this role on any queue needs. Sessions that are open have lost it with their next statement after the commit; jobs that they hold they can neither finish nor extend, so the leases run out. queue null takes what was given on every queue, not what was given on a single one. Nothing happens if the role has no such right, or only by membership of another role. Errors as in grant_queue.';

CREATE VIEW durable_work.queue_grants WITH (security_barrier) AS
SELECT queue.name AS queue,
       grantee.rolname::text AS role,
       pg_catalog.array_agg(item.right_name ORDER BY item.right_name) AS rights
FROM (SELECT id, name, 'rights_' OPERATOR(pg_catalog.||) id AS right_table FROM durable_work.queue
      UNION ALL SELECT NULL, NULL, 'queue_right') AS queue
JOIN pg_catalog.pg_class AS rights
    ON rights.relname OPERATOR(pg_catalog.=) queue.right_table
   AND rights.relnamespace OPERATOR(pg_catalog.=) 'durable_work'::pg_catalog.regnamespace
CROSS JOIN LATERAL (
    SELECT exploded.grantee,
           CASE exploded.privilege_type
               WHEN 'INSERT' THEN 'enqueue' WHEN 'REFERENCES' THEN 'work' WHEN 'UPDATE' THEN 'operate' WHEN 'SELECT' THEN 'monitor'
           END AS right_name
    FROM pg_catalog.aclexplode(rights.relacl) AS exploded
    WHERE exploded.grantee OPERATOR(pg_catalog.<>) rights.relowner) AS item
JOIN pg_catalog.pg_roles AS grantee ON grantee.oid OPERATOR(pg_catalog.=) item.grantee
WHERE item.right_name IS NOT NULL
  AND (durable_work.may(queue.id, 'operate')
       OR pg_catalog.pg_has_role(grantee.oid, 'USAGE')
       OR pg_catalog.pg_has_role(rights.relowner, 'USAGE'))
GROUP BY queue.name, grantee.rolname;
REVOKE ALL ON durable_work.queue_grants FROM PUBLIC;
COMMENT ON VIEW durable_work.queue_grants IS
'Which roles were granted which rights on which queue; null is every queue. Without operate on the queue only what was granted to the user or to roles that it is a member of. What members of a role have with it is not told again for each.';
