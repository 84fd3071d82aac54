#!/usr/bin/python3
"""The calls of the plan, and the lives of many jobs at once, with psycopg and its own types.

    psycopg_calls.py PLAN [--no-prepare]

psycopg prepares what it has seen five times. A pooler that hands out connections by the transaction and does not
follow prepared statements (pgbouncer before 1.21) needs --no-prepare, as everywhere with psycopg.
"""

import json
import sys
import threading

import common
import psycopg
from psycopg.types.json import Jsonb

PREPARE_AFTER = None if "--no-prepare" in sys.argv else 5
WORKERS = 4
JOBS = 40


def connect():
    return psycopg.connect(autocommit=True, prepare_threshold=PREPARE_AFTER)


def python_value(kind, value):
    if value is None:
        return None
    if isinstance(value, list):
        return [python_value(kind.removesuffix("[]"), each) for each in value]
    if kind in ("bigint", "integer"):
        return int(value)
    if kind == "double precision":
        return float(value)
    if kind == "boolean":
        return value == "true"
    return Jsonb(json.loads(value)) if kind == "jsonb" else value


def run_plan(connection, score):
    for call in common.read_plan():
        facts = connection.execute("CALL contract.rebuild()").fetchone()[0]
        arguments = ", ".join(f"{each['name']} => %s" for each in call["arguments"])
        parameters = [python_value(each["type"], common.filled(each["value"], facts)) for each in call["arguments"]]
        try:
            connection.execute(f"{call['kind']} {call['routine']}({arguments})", parameters)
            got = "ok"
        except psycopg.Error as error:
            got = error.sqlstate
        score.check(call["name"], got, call["expect"])


def work(done):
    """Until nothing is left: claim, fail the first attempt, complete the second in the transaction of its effect."""
    with connect() as connection:
        while len(done) < JOBS:
            connection.execute("CALL durable_work.wait_for_work(%s, %s)", [["psycopg"], "50 ms"])
            claimed = connection.execute(
                "SELECT job_id, lease_token, attempt, lease_token::text FROM durable_work.claim(queue => %s, worker => %s, max_jobs => %s)",
                ["psycopg", threading.current_thread().name, 3]).fetchall()
            for job, token, attempt, token_text in claimed:
                if str(token) != token_text:
                    raise ValueError(f"token {token_text} became {token}")
                if attempt == 1:
                    connection.execute("SELECT durable_work.fail(%s, %s, %s)", [job, token, Jsonb({"attempt": 1})])
                    continue
                with connection.transaction():
                    connection.execute("INSERT INTO contract.effect VALUES (%s)", [job])
                    connection.execute("SELECT durable_work.complete(%s, %s, result => %s)", [job, token, Jsonb({"ok": True})])
                done.append(job)


def work_or_tell(done, errors):
    try:
        work(done)
    except Exception as error:      # a thread has nobody to tell
        errors.append(repr(error))


def live(connection, score):
    connection.execute("SELECT durable_work.create_queue(%s, backoff => 'fixed', backoff_base => '0')", ["psycopg"])
    connection.execute("CREATE TABLE contract.effect (job bigint PRIMARY KEY)")
    enqueued = sorted(job for _, job, _ in connection.execute(
        "SELECT * FROM durable_work.enqueue_many(%s, %s)", ["psycopg", [Jsonb({"n": n}) for n in range(JOBS)]]))
    done, errors = [], []
    workers = [threading.Thread(target=work_or_tell, args=[done, errors], name=f"worker {n}") for n in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    score.check("errors", errors, [])
    score.check("every job was completed once", sorted(done), enqueued)
    effects = [job for job, in connection.execute("SELECT job FROM contract.effect ORDER BY job")]
    score.check("with its effect", effects, enqueued)
    connection.execute("DROP TABLE contract.effect")
    connection.execute("SELECT durable_work.drop_queue(%s)", ["psycopg"])


def main():
    score = common.Score()
    with connect() as connection:
        run_plan(connection, score)
        live(connection, score)
    score.end()


main()
