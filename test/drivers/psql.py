#!/usr/bin/python3
"""The calls of the plan, and the life of a job, typed into psql.

    psql.py PLAN
"""

import json
import subprocess

import common

LIFE = r"""
SELECT durable_work.create_queue('psql', backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT job_id, inserted FROM durable_work.enqueue('psql', '{"n": 1}', idempotency_key => 'one') \gset
SELECT inserted FROM durable_work.enqueue('psql', '{"n": 1}', idempotency_key => 'one');
CALL durable_work.wait_for_work('{psql}', '1 s');
SELECT lease_token FROM durable_work.claim('psql', 'me', 1) \gset
SELECT durable_work.fail(:job_id, :lease_token, '{"code": 1}');
\set stale :lease_token
SELECT lease_token, attempt FROM durable_work.claim('psql', 'me', 1) \gset
SELECT :attempt;
SELECT durable_work.try_complete(:job_id, :stale);
BEGIN;
SELECT durable_work.complete(:job_id, :lease_token, '{"sum": 3}');
COMMIT;
SELECT durable_work.complete(:job_id, :lease_token);
SELECT status, result FROM durable_work.inbox WHERE id = :job_id;
SELECT durable_work.drop_queue('psql');
"""
LIVED = ["", "f", "retry", "2", "stale", "t", "f", 'completed|{"sum": 3}', ""]


def psql(script):
    """Lines of output; an error is the line "ERROR:  SQLSTATE"."""
    done = subprocess.run(["psql", "-XAtq", "-v", "VERBOSITY=sqlstate", "-f", "-"], input=script, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    return done.stdout.splitlines()


def literal(value):
    if value is None:
        return "NULL"
    text = common.array_text(value) if isinstance(value, list) else value
    return "'" + text.replace("'", "''") + "'"


def main():
    score = common.Score()
    for call in common.read_plan():
        facts = json.loads(psql("CALL contract.rebuild();")[0])
        arguments = ", ".join(f"{each['name']} => {literal(common.filled(each['value'], facts))}" for each in call["arguments"])
        lines = psql(f"{call['kind']} {call['routine']}({arguments});")
        raised = [line.split()[-1] for line in lines if "ERROR:" in line]
        score.check(call["name"], raised[0] if raised else "ok", call["expect"])
    score.check("the life of a job", psql(LIFE), LIVED)
    score.end()


main()
