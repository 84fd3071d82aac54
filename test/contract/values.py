"""What the contract test gives to arguments.

A new function needs no line here as long as its arguments have names and types that are known; the test says
which line is missing otherwise. Words between @ stand for jobs, tokens and the like of the fixture (fixture.sql).
"""

# A value with which the call works, by the name of the argument.
GOOD = {
    "action": "'skip'",
    "after_job_id": "0",
    "available_at": "'2000-01-01 00:00:00+00'",
    "available_ats": "ARRAY['2000-01-01 00:00:00+00'::timestamptz]",
    "after": "'{a,b,c}'",
    "backoff": "'linear'",
    "backoff_base": "'1 s'",
    "backoff_cap": "'2 h'",
    "before": "'{a,b}'",
    "body": "'@body@'",
    "buckets": "360",
    "burst": "10",
    "capacity": "10",
    "deadline": "'1 min'",
    "dead_letter_queue": "'contract_other'",
    "dedupe_window": "'2 d'",
    "delay": "'1 min'",
    "delivery": "'at_least_once'",
    "dry_run": "true",
    "durable_claims": "true",
    "error": "'{\"code\": 1}'",
    "error_like": "'%made%'",
    "fairness": "'none'",
    "errors": "ARRAY['{\"code\": 1}'::jsonb]",
    "expires_at": "'2100-01-01 00:00:00+00'",
    "filter": "'$.payload.name'",
    "first_id": "@done@",
    "force": "true",
    "forget_keys": "true",
    "handler": "'mail'",
    "headers": "'{\"trace\": \"1\"}'",
    "idempotency_key": "'fresh'",
    "idempotency_keys": "'{fresh}'",
    "instance": "7",
    "jitter": "0.5",
    "job_id": "@held@",
    "job_ids": "'{@held@}'",
    "jobs": "100",
    "key": "'order 1'",
    "last_id": "NULL",
    "labels": "'{\"host\": \"h1\"}'",
    "lease": "'2 h'",
    "lease_token": "@token@",
    "lease_tokens": "'{@token@}'",
    "limit_group": "'partner'",
    "max_attempts": "5",
    "max_in_flight": "5",
    "max_jobs": "1",
    "max_length": "1000",
    "max_payload": "'2 MB'",
    "max_rows": "20",
    "max_runtime": "'1 d'",
    "older_than": "'0'",
    "on_duplicate": "'return'",
    "overflow": "'reject'",
    "owned_only": "false",
    "partition_key": "'a'",
    "partition_keys": "'{a}'",
    "on_exhausted": "'skip'",
    "ordering": "'none'",
    "payload": "'{\"n\": 1}'",
    "payloads": "ARRAY['{\"n\": 1}'::jsonb]",
    "per_interval": "'1 min'",
    "priorities": "'{3}'",
    "priority": "3",
    "progress": "'{\"done\": 0.5}'",
    "queue": "'contract'",
    "queues": "'{contract}'",
    "rate_per_second": "1000",
    "reason": "'no such customer'",
    "request_id": "'request 1'",
    "resource": "'printer'",
    "result": "'{\"sum\": 3}'",
    "results": "ARRAY['{\"sum\": 3}'::jsonb]",
    "retention": "'2 d'",
    "retry_in": "'1 min'",
    "retryable": "true",
    "scope": "'group'",
    "right": "'work'",
    "role": "'contract_role'",
    "segment": "0",
    "shards": "8",
    "since": "'2000-01-01 00:00:00+00'",
    "status": "NULL",
    "strict": "true",
    "sub_key": "'b'",
    "timeout": "'50 ms'",
    "to_queue": "'contract_other'",
    "unique_while": "'window'",
    "until": "'2100-01-01 00:00:00+00'",
    "vnodes": "150",
    "wait": "'50 ms'",
    "weight": "3",
    "worker": "'contract'",
    "workers": "'{a,b}'",
}

# The same for one function, where it needs another one.
GOOD_FOR = {
    ("blocked_keys", "queue"): "'contract_keys'",
    ("cancel", "job_id"): "@waiting@",
    ("create_queue", "queue"): "'contract_new'",
    ("deregister_worker", "instance"): "NULL",
    ("deregister_worker", "worker"): "'contract_worker'",
    ("drain_worker", "instance"): "NULL",
    ("drain_worker", "worker"): "'contract_worker'",
    ("defer", "until"): "'2000-01-01 00:00:00+00'",
    ("discard_dead_letter", "job_id"): "@dead@",
    ("enqueue_many", "headers"): "ARRAY['{\"trace\": \"1\"}'::jsonb]",
    ("job_state", "queue"): "@queue_number@",
    ("key_status", "partition_key"): "'a'",
    ("key_status", "queue"): "'contract_keys'",
    ("may", "queue"): "@queue_number@",
    ("may", "right"): "'see'",
    ("owned_buckets", "worker"): "'contract_worker'",
    ("redrive", "job_ids"): "'{@dead@}'",
    ("reschedule", "job_id"): "@waiting@",
    ("reschedule_many", "available_at"): "'2100-01-01 00:00:00+00'",
    ("set_key_weight", "queue"): "'contract_fair'",
    ("unblock_key", "partition_key"): "'a'",
    ("unblock_key", "queue"): "'contract_keys'",
    ("update_payload", "job_id"): "@waiting@",
    ("wait_for_job", "job_id"): "@done@",
    ("wait_for_work", "instance"): "NULL",
    ("wait_for_work", "worker"): "NULL",
}

# Arguments with a default that are given all the same, because nothing works without them.
ALWAYS = {
    "alter_queue": {"lease": "'2 h'"},
    "cancel_many": {"older_than": "'0'"},
}

# Of these only the first is given, when a call is made with all of its arguments.
EXCLUSIVE = [("available_at", "delay"), ("queue", "queues")]

# The values of closed sets; anything else is covered by the values of the type.
CLOSED = {
    "action": ["retry", "skip", "dead_letter"],
    "backoff": ["exponential", "linear", "fixed"],
    "delivery": ["at_least_once", "at_most_once"],
    "fairness": ["none", "key"],
    "on_duplicate": ["return", "replace", "error"],
    "on_exhausted": ["skip", "hold", "dead_letter_key"],
    "ordering": ["none", "key"],
    "overflow": ["reject", "drop_oldest"],
    "scope": ["queue", "key", "group"],
    "right": ["enqueue", "work", "operate", "monitor"],
    "unique_while": ["window", "pending", "active"],
}

# More values by name and type: (what the expectation calls it, the literal).
JOBS = [(f"a {state} job", f"@{state}@") for state in ("waiting", "ready", "held", "done", "dead", "cancelled")]
BY_NAME = {
    ("idempotency_key", "text"): [("taken by another payload", "'taken'")],
    ("job_id", "bigint"): JOBS,
    ("job_ids", "bigint[]"): [(name, f"'{{{job}}}'") for name, job in JOBS] + [("one job twice", "'{@held@,@held@}'")],
    ("lease_token", "bigint"): [("another job's token", "@other_token@"), ("the next token", "@token@ + 1")],
    ("lease_tokens", "bigint[]"): [("another job's token", "'{@other_token@}'"), ("one token twice", "'{@token@,@token@}'")],
    ("max_payload", "text"): [("'1 parsec'", "'1 parsec'"), ("'-1 MB'", "'-1 MB'")],
    ("queue", "text"): [("unknown", "'nowhere'"), ("an empty queue", "'contract_other'"), ("an at_most_once queue", "'contract_once'"),
                        ("a queue with durable claims", "'contract_durable'"), ("a full queue", "'contract_full'")],
    ("queues", "text[]"): [("unknown", "'{nowhere}'"), ("one of two unknown", "'{contract,nowhere}'"), ("one twice", "'{contract,contract}'"),
               ("an at_most_once queue", "'{contract_once}'"), ("a queue with durable claims", "'{contract_durable}'"),
               ("65 queues", "array_fill('contract'::text, '{65}')")],
}
for name in ("dead_letter_queue", "to_queue"):
    BY_NAME[name, "text"] = [("unknown", "'nowhere'"), ("an existing queue", "'contract_other'"), ("the queue itself", "'contract'")]

# Several arguments at once, for every function that has all of them.
TOGETHER = [
    ("a done job, its token", {"job_id": "@done@", "lease_token": "@done_token@"}),
    ("a dead job, its token", {"job_id": "@dead@", "lease_token": "@dead_token@"}),
    ("a waiting job, a held job's token", {"job_id": "@waiting@", "lease_token": "@token@"}),
    ("done and held, their tokens", {"job_ids": "'{@done@,@held@}'", "lease_tokens": "'{@done_token@,@token@}'"}),
    ("one job twice", {"job_ids": "'{@held@,@held@}'", "lease_tokens": "'{@token@,@token@}'"}),
    ("no jobs", {"job_ids": "'{}'", "lease_tokens": "'{}'"}),
    ("100001 jobs", {"job_ids": "array_fill(@held@::bigint, '{100001}')", "lease_tokens": "array_fill(@token@, '{100001}')"}),
    ("100000 jobs", {"job_ids": "array_fill(@held@::bigint, '{100000}')", "lease_tokens": "array_fill(@token@, '{100000}')"}),
    ("nothing to change", {"queue": "'contract'", "lease": "NULL", "dead_letter_queue": "NULL"}),
    ("dead letters into itself", {"queue": "'contract'", "dead_letter_queue": "'contract'"}),
    ("dead letters of a new queue into itself", {"queue": "'contract_new'", "dead_letter_queue": "'contract_new'", "overflow": "'reject'"}),
    ("a resource seen with a higher token", {"resource": "'used'", "lease_token": "@token@"}),
    ("handled before", {"handler": "'used'", "key": "'used'"}),
    ("a key taken by another payload", {"idempotency_keys": "'{taken}'"}),
    ("both", {"available_at": "now()", "delay": "'1 min'"}),
    ("same key, same payload", {"idempotency_key": "'taken'", "payload": "'{\"name\": \"waiting\"}'"}),
    ("same key, same payload, replace", {"idempotency_key": "'taken'", "payload": "'{\"name\": \"waiting\"}'", "on_duplicate": "'replace'"}),
    ("same key, other payload, replace", {"idempotency_key": "'taken'", "on_duplicate": "'replace'"}),
    ("key of a done job, pending", {"idempotency_key": "'done'", "unique_while": "'pending'"}),
    ("key of a held job, pending", {"idempotency_key": "'held'", "unique_while": "'pending'"}),
    ("key of a held job, active", {"idempotency_key": "'held'", "unique_while": "'active'"}),
    ("key of a held job, replace", {"idempotency_key": "'held'", "payload": "'{\"name\": \"held\"}'", "on_duplicate": "'replace'"}),
    ("same key, error", {"idempotency_key": "'taken'", "payload": "'{\"name\": \"waiting\"}'", "on_duplicate": "'error'"}),
    ("backwards", {"since": "'2100-01-01 00:00:00+00'", "until": "'2000-01-01 00:00:00+00'"}),
]


def named(*literals):
    return [(literal, literal) for literal in literals]


MEGABYTE = [("1 MB", "repeat('x', 1048576)")]
BY_TYPE = {
    "bigint": named("0", "-1", "9223372036854775807", "-9223372036854775808"),
    "boolean": named("true", "false"),
    "bytea": named("''", r"'\x00'", r"'\xffffffffffffffffffffffff'") + [("1 MB", "convert_to(repeat('x', 1048576), 'UTF8')")],
    "double precision": named("0", "-1", "1e308", "'NaN'", "'Infinity'", "'-Infinity'"),
    "integer": named("0", "-1", "2147483647", "-2147483648"),
    "interval": named("'0'", "'-1 s'", "'1 day -25 hours'", "'178000000 years'", "'-178000000 years'"),
    "jsonb": named("'null'", "'[]'", "'{}'", "'1'", "'\"\"'") + [
        ("2 MB", "to_jsonb(repeat('x', 2097152))"),
        ("an object of 2 MB", "jsonb_build_object('x', repeat('x', 2097152))"),
        ("1000 levels", "(repeat('[', 1000) || repeat(']', 1000))::jsonb")],
    "jsonpath": named("'$'", "'$.nothing'", "'strict $.nothing'", "'$.payload ? (@.name starts with \"r\")'", "'$.a[*].double() / 0'") + [
        ("100000 terms", "('$.a' || repeat(' + 1', 100000))::jsonpath")],
    "text": named("''", "'nonsense'") + MEGABYTE,
    "timestamp with time zone": named("'infinity'", "'-infinity'", "'294276-12-31 23:59:59+00'", "'4713-01-01 00:00:00+00 BC'",
                                      "'2000-01-01 00:00:00+00'"),
}
# From server 17 on an interval can be infinite; the outcome must then be that of a huge one.
INFINITE_INTERVALS = [("'infinity'", "'178000000 years'"), ("'-infinity'", "'-178000000 years'")]
HUGE_ARRAY = 100001
