#!/usr/bin/python3
"""The calls of the plan, and the life of a job, as libpq's prepared statements in pipeline mode.

    libpq.py PLAN

psycopg.pq is libpq itself, function by function. Types of parameters are left to the server.
"""

import json

import common
from psycopg import pq


class Pipeline:
    def __init__(self):
        self.link = pq.PGconn.connect(b"")
        if self.link.status != pq.ConnStatus.OK:
            raise SystemExit(self.link.error_message.decode())
        self.link.enter_pipeline_mode()
        self.names = {}
        self.sent = []

    def send(self, statement, parameters=()):
        """Queues a statement; prepares it if it is the first with its text."""
        if statement not in self.names:
            self.names[statement] = f"s{len(self.names)}".encode()
            self.link.send_prepare(self.names[statement], statement.encode())
            self.sent.append("prepare")
        self.link.send_query_prepared(self.names[statement], [None if each is None else each.encode() for each in parameters])
        self.sent.append("execute")

    def sync(self):
        self.link.pipeline_sync()
        self.sent.append("sync")

    def read(self):
        """One answer for each statement sent: rows of text, or a SQLSTATE; statements after an error are "aborted"."""
        self.link.flush()
        answers = []
        failed_prepare = None
        for kind in self.sent:
            result = self.link.get_result()
            if kind == "sync":
                continue
            answer = self.answer(result)
            while self.link.get_result() is not None:
                pass
            if kind == "prepare":
                failed_prepare = answer if isinstance(answer, str) and answer != "aborted" else None
            else:
                answers.append(failed_prepare or answer)
                failed_prepare = None
        self.sent = []
        return answers

    @staticmethod
    def answer(result):
        if result.status == pq.ExecStatus.PIPELINE_ABORTED:
            return "aborted"
        if result.status == pq.ExecStatus.FATAL_ERROR:
            return result.error_field(pq.DiagnosticField.SQLSTATE).decode()
        values = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        return [[None if value is None else value.decode() for value in row] for row in values]

    def run(self, statement, parameters=()):
        self.send(statement, parameters)
        self.sync()
        return self.read()[0]


def text(value):
    return common.array_text(value) if isinstance(value, list) else value


def run_plan(pipeline, score):
    for call in common.read_plan():
        facts = json.loads(pipeline.run("CALL contract.rebuild()")[0][0])
        arguments = ", ".join(f"{each['name']} => ${n}" for n, each in enumerate(call["arguments"], 1))
        parameters = [text(common.filled(each["value"], facts)) for each in call["arguments"]]
        answer = pipeline.run(f"{call['kind']} {call['routine']}({arguments})", parameters)
        score.check(call["name"], answer if isinstance(answer, str) else "ok", call["expect"])


def live(pipeline, score):
    pipeline.run("SELECT durable_work.create_queue($1, backoff => 'fixed', backoff_base => '0')", ["pipeline"])
    enqueue = "SELECT job_id FROM durable_work.enqueue($1, $2)"
    claim = "SELECT job_id, lease_token, payload->>'n' FROM durable_work.claim($1, $2, max_jobs => $3)"
    # Everything is under way before the first answer is read.
    pipeline.send("BEGIN")
    for n in ("1", "2", "3"):
        pipeline.send(enqueue, ["pipeline", json.dumps({"n": n})])
    pipeline.send("COMMIT")
    pipeline.sync()
    pipeline.send("CALL durable_work.wait_for_work($1, $2)", ["{pipeline}", "1 s"])
    pipeline.sync()
    pipeline.send(claim, ["pipeline", "me", "10"])
    pipeline.sync()
    answers = pipeline.read()
    enqueued = [answer[0][0] for answer in answers[1:4]]
    claimed = answers[-1]
    score.check("claimed in one pipeline with the enqueue", [row[0] for row in claimed], enqueued)
    score.check("in order", [row[2] for row in claimed], ["1", "2", "3"])
    # A stale token in the middle ends what is before the next sync, and only that.
    complete = "SELECT durable_work.complete($1, $2)"
    pipeline.send(complete, claimed[0][:2])
    pipeline.send(complete, [claimed[1][0], claimed[0][1]])
    pipeline.send(complete, claimed[1][:2])
    pipeline.sync()
    pipeline.send(complete, claimed[2][:2])
    pipeline.sync()
    score.check("a stale token aborts its part of the pipeline", pipeline.read(), [[["t"]], "DW001", "aborted", [["t"]]])
    score.check("which completed nothing", pipeline.run(complete, claimed[0][:2]), [["t"]])
    score.check("fail", pipeline.run("SELECT durable_work.fail($1, $2, $3)", [*claimed[1][:2], '{"code": 1}']), [["retry"]])
    again = pipeline.run(claim, ["pipeline", "me", "1"])
    score.check("claimed again", again[0][0], claimed[1][0])
    score.check("the token rises", int(again[0][1]) > int(claimed[2][1]), True)
    score.check("completed", pipeline.run(complete, again[0][:2]), [["t"]])
    pipeline.run("SELECT durable_work.drop_queue($1)", ["pipeline"])


def main():
    score = common.Score()
    run_plan(Pipeline(), score)
    live(Pipeline(), score)
    score.end()


main()
