#!/usr/bin/python3
"""One client of the random test of many workers: a worker that takes jobs of its own buckets, the producer, or the
operator who lets blocked keys go on. Each writes down what it asks for and what it is told.

    keyed_load.py --dsn DSN --journal FILE --seed N --calm-file FILE ROLE NAME    ROLE: worker, producer, operator

A worker ends when its registration has ended (status 0), or when it has lost its connection and does not come back
(status 3; what it held it holds on). Now and then it sleeps over the end of its leases, forgets a job, or decides once more
what it decided before. The producer ends when the calm file is there. From then on the operator tries
nothing again; it ends when no job is left.

Every line of a journal is one JSON object, written with one system call. What a client is about to ask for is written
down first, so of a call that was not answered it is known that it may have happened.

    {"did": "enqueued", "queue": …, "jobs": […], "asked": t, "told": t}
    {"did": "claimed",  "queue": …, "key": …, "job": …, "token": …, "attempt": …, "until": t, "asked": t, "told": t,
                        "worker": …, "instance": …}                 the transaction of the claim has ended
    {"did": "deciding", "call": …, "job": …, "token": …, "what": …, "at": t}     complete, fail, release or defer
    {"did": "decided",  "call": …, "answer": …, "at": t}            its COMMIT was acknowledged
    {"did": "refused",  "call": …, "state": …, "at": t}
    {"did": "extended", "job": …, "token": …, "until": t, "asked": t, "told": t}
    {"did": "unblocking", "call": …, "key": …, "action": …, "at": t}             then decided or refused, as above

Times are microseconds of the machine's clock, by which leases end too.
"""

import argparse
import collections
import json
import os
import random
import sys
import time

import psycopg

QUEUES = ["plain", "hold", "dead"]
KEYS = {"plain": 100, "hold": 20, "dead": 20}
MOST_UNFINISHED = 300
REMEMBERED = 20                 # jobs that were decided
PAUSE = 0.02                    # seconds
LOST = 3


class Lost(Exception):
    """The connection is gone, and the client does not come back."""


def now():
    return time.time_ns() // 1000


class Client:
    def __init__(self, options):
        self.options = options
        self.name = options.name
        self.random = random.Random(options.seed)
        self.journal = os.open(options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.calls = 0
        self.connection = None

    def write(self, **line):
        os.write(self.journal, (json.dumps(line) + "\n").encode())

    def is_calm(self):
        return os.path.exists(self.options.calm_file)

    def connect(self):
        while self.connection is None:
            try:
                self.connection = psycopg.connect(self.options.dsn, autocommit=True, connect_timeout=10, application_name=self.name)
            except psycopg.OperationalError:
                time.sleep(PAUSE)

    def rows(self, statement, *arguments):
        return self.connection.execute(statement, arguments).fetchall()

    def run(self):
        while True:
            try:
                self.connect()
                self.work()
                return
            except psycopg.OperationalError:
                # The server, or this backend, has gone.
                self.connection.close()
                self.connection = None
                self.lost()

    def lost(self):
        time.sleep(PAUSE)

    def decide(self, act, **what):
        """act returns the answer; what it wrote has been committed then. None: refused."""
        self.calls += 1
        call = f"{self.options.seed}-{self.calls}"
        self.write(call=call, at=now(), **what)
        try:
            with self.connection.transaction():
                answer = act()
            self.write(did="decided", call=call, answer=answer, at=now())
            return answer
        except psycopg.Error as error:
            if error.sqlstate not in ("DW001", "DW002", "DW006"):
                raise
            self.write(did="refused", call=call, state=error.sqlstate, at=now())
            return None


class Producer(Client):
    def work(self):
        while not self.is_calm():
            time.sleep(PAUSE / 2)
            if self.rows("SELECT coalesce(sum(unfinished), 0) > %s FROM durable_work.queue_stats", MOST_UNFINISHED)[0][0]:
                continue
            queue = self.random.choices(QUEUES, [4, 1, 1])[0]
            self.enqueue(queue, [f"k{self.random.randrange(KEYS[queue])}" for _ in range(5)])
        # Whatever has become of a key, it goes on.
        for queue in ("hold", "dead"):
            self.enqueue(queue, [f"k{n}" for n in range(KEYS[queue])])

    def enqueue(self, queue, keys):
        delays = [self.random.random() * 0.3 if self.random.random() < 0.2 else None for _ in keys]
        asked = now()
        jobs = self.rows(
            "SELECT job_id FROM durable_work.enqueue_many(%s, array_fill('{}'::jsonb, ARRAY[%s]), %s::text[], available_ats =>"
            " ARRAY(SELECT clock_timestamp() + d * interval '1 s' FROM unnest(%s::float8[]) WITH ORDINALITY AS u (d, n) ORDER BY n))",
            queue, len(keys), keys, delays)
        self.write(did="enqueued", queue=queue, jobs=[job for job, in jobs], asked=asked, told=now())


class Operator(Client):
    def work(self):
        while True:
            calm = self.is_calm()
            blocked = self.rows("SELECT partition_key FROM durable_work.blocked_keys('hold') WHERE NOT ending")
            for key, in blocked:
                action = self.random.choice(["skip", "dead_letter"] if calm else ["retry", "retry", "skip", "dead_letter"])
                self.decide(lambda k=key, a=action: self.rows("SELECT durable_work.unblock_key('hold', %s, %s)", k, a) and a,
                            did="unblocking", key=key, action=action)
            # A key is blocked only by a job that is not finished before.
            if (calm and not blocked and self.rows("SELECT sum(unfinished) = 0 FROM durable_work.queue_stats")[0][0]
                    and not self.rows("SELECT FROM durable_work.blocked_keys('hold')")):
                return
            time.sleep(PAUSE)


class Worker(Client):
    def __init__(self, options):
        super().__init__(options)
        self.instance = None
        self.held = []
        self.decided = collections.deque(maxlen=REMEMBERED)
        self.closing = False
        self.returns = self.random.random() < 0.5

    def lost(self):
        if not self.returns:
            raise Lost
        super().lost()

    def work(self):
        if self.instance is None:
            self.instance = self.rows("SELECT durable_work.register_worker(%s, %s, capacity => 10)", self.name, QUEUES)[0][0]
        while True:
            # What is left from before the connection was lost comes first.
            while self.held:
                self.work_on(self.held[0])
                self.held.pop(0)
            if self.closing:
                return
            self.closing = not self.claim()

    def claim(self):
        """False: this worker is to end."""
        queues = self.random.sample(QUEUES, 3)
        short = self.random.random() < 0.08
        asked = now()
        try:
            rows = self.rows(
                "SELECT queue, partition_key, job_id, lease_token, attempt, (extract(epoch FROM lease_expires_at) * 1000000)::bigint"
                " FROM durable_work.claim(%s::text[], %s, %s, lease => %s::interval, wait => '50 ms', owned_only => true, instance => %s)",
                queues, self.name, self.random.randint(1, 7), "100 ms" if short else None, self.instance)
        except psycopg.Error as error:
            if error.sqlstate != "DW006":
                raise
            return False
        told = now()
        for queue, key, job, token, attempt, until in rows:
            self.write(did="claimed", queue=queue, key=key, job=job, token=token, attempt=attempt, until=until, asked=asked, told=told,
                       worker=self.name, instance=self.instance)
            self.held.append((queue, job, token))
        if short:
            time.sleep(self.random.random() * 0.25)
        return bool(rows) or not self.rows("SELECT FROM durable_work.workers WHERE worker = %s AND instance = %s AND state = 'draining'",
                                           self.name, self.instance)

    def work_on(self, held):
        queue, job, token = held
        if self.random.random() < 0.05:
            self.heartbeat()
        time.sleep(self.random.random() * 0.004)
        chance = self.random.random() * (0.3 if queue != "plain" else 1)
        if chance < 0.003:
            return              # forgotten: the lease runs out
        self.decide_job(job, token, "fail" if chance < 0.06 else "release" if chance < 0.1 else "defer" if chance < 0.12 else "complete")
        self.decided.append((job, token))
        if self.random.random() < 0.05:
            self.decide_job(*self.random.choice(self.decided), self.random.choice(["complete", "fail", "release", "defer"]))

    def decide_job(self, job, token, what):
        self.decide(lambda: getattr(self, what)(job, token), did="deciding", job=job, token=token, what=what)

    def complete(self, job, token):
        """Asked again after a reply was lost it may have been completed before; then the effect is there."""
        if self.rows("SELECT durable_work.complete(%s, %s)", job, token)[0][0]:
            self.connection.execute("INSERT INTO done VALUES (%s, %s)", [job, token])
        return "completed"

    def fail(self, job, token):
        return self.rows("SELECT durable_work.fail(%s, %s)", job, token)[0][0]

    def release(self, job, token):
        self.connection.execute("SELECT durable_work.release(%s, %s)", [job, token])
        return "released"

    def defer(self, job, token):
        self.connection.execute("SELECT durable_work.defer(%s, %s, clock_timestamp() + interval '50 ms')", [job, token])
        return "deferred"

    def heartbeat(self):
        tokens = {job: token for _, job, token in self.held}
        asked = now()
        try:
            rows = self.rows(
                "SELECT job_id, (extract(epoch FROM lease_expires_at) * 1000000)::bigint FROM durable_work.heartbeat(%s, instance => %s)"
                " WHERE state = 'leased'", self.name, self.instance)
        except psycopg.Error as error:
            if error.sqlstate != "DW006":
                raise
            self.closing = True
            return
        for job, until in rows:
            if job in tokens:
                self.write(did="extended", job=job, token=tokens[job], until=until, asked=asked, told=now())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--calm-file", required=True)
    parser.add_argument("role", choices=["worker", "producer", "operator"])
    parser.add_argument("name")
    options = parser.parse_args()
    try:
        {"worker": Worker, "producer": Producer, "operator": Operator}[options.role](options).run()
    except Lost:
        sys.exit(LOST)
    except Exception as error:  # pylint: disable=broad-except
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
