#!/usr/bin/python3
"""One client of the crash audit: enqueues, claims, completes, and writes down what it was told.

    mixed_load.py --dsn DSN --journal FILE --seed N --stop-file FILE [--refused SQLSTATE] [--keys N]

Runs until the stop file exists and whatever is in flight has been answered. Every line of the
journal is one JSON object and is written with one system call, so killing this process loses at
most the line about to be written, which is the same as an answer that never arrived.

    {"did": "ask",      "key": …}                                   before an enqueue is sent
    {"did": "enqueued", "key": …}                                   its commit was acknowledged
    {"did": "undone",   "key": …}                                   it was rolled back, acknowledged
    {"did": "claimed",  "job": …, "token": …, "asked": t, "told": t, "key": …}
    {"did": "completed", "job": …, "token": …, "asked": t, "key": …}  commit acknowledged, accepted
    {"did": "refused",  "job": …, "token": …, "state": …}

With --keys each job gets one of so many partition keys, which are this client's own: it enqueues one
after the other. What is claimed then has a partition_key.

Times are those of the system-wide monotonic clock. A call that is answered with the SQLSTATE of
--refused has done nothing, with its transaction, and the client goes on.
"""

import argparse
import json
import os
import random
import sys
import time

import psycopg
from psycopg.types.json import Jsonb

RECONNECT_PAUSE = 0.05          # seconds
QUEUE = "load"


class Client:
    def __init__(self, options):
        self.dsn = options.dsn
        self.stop_file = options.stop_file
        self.refused = options.refused
        self.keys = options.keys
        self.journal = os.open(options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.name = f"client-{options.seed}"
        self.random = random.Random(options.seed)
        self.connection = None
        self.next_key = 0
        self.life = f"{options.seed}-{os.getpid()}"

    def write(self, **line):
        os.write(self.journal, (json.dumps(line) + "\n").encode())

    def new_key(self):
        self.next_key += 1
        key = f"{self.life}-{self.next_key}"
        self.write(did="ask", key=key)
        return key

    def partition_key(self):
        return f"{self.life}:{self.random.randrange(self.keys)}" if self.keys else None

    def run(self):
        steps = [self.enqueue, self.enqueue_batch, self.enqueue_through_view, self.enqueue_and_undo,
                 self.work_one_by_one, self.work_batch, self.work_in_one_transaction,
                 self.let_leases_go, self.heartbeat]
        weights = [3, 1, 1, 1, 4, 3, 2, 1, 1]
        while not os.path.exists(self.stop_file):
            try:
                if self.connection is None:
                    self.connection = psycopg.connect(self.dsn, autocommit=True, connect_timeout=10)
                self.random.choices(steps, weights)[0]()
            except (psycopg.DatabaseError, psycopg.Rollback) as failure:
                state = getattr(failure, "sqlstate", None)
                if state and state == self.refused:
                    time.sleep(RECONNECT_PAUSE)
                    continue
                if state and not isinstance(failure, psycopg.OperationalError):
                    raise
                # The server, or this backend, was killed; Rollback comes here when there was no
                # server left to roll back on. Whatever was asked and not answered may have happened
                # or not.
                if self.connection is not None:
                    self.connection.close()
                self.connection = None
                time.sleep(RECONNECT_PAUSE)

    # --- producing ---

    def delay(self):
        """Most jobs are due at once, some a little later."""
        return "200 milliseconds" if self.random.random() < 0.1 else None

    def enqueue(self):
        key = self.new_key()
        self.connection.execute(
            "SELECT * FROM durable_work.enqueue(%s, %s, idempotency_key => %s, delay => %s::interval,"
            " partition_key => %s)",
            [QUEUE, Jsonb({"key": key}), key if self.random.random() < 0.3 else None, self.delay(), self.partition_key()])
        self.write(did="enqueued", key=key)

    def enqueue_batch(self):
        keys = [self.new_key() for _ in range(self.random.randint(2, 30))]
        self.connection.execute(
            "SELECT count(*) FROM durable_work.enqueue_many(%s, %s::jsonb[], idempotency_keys => %s::text[],"
            " partition_keys => %s::text[])",
            [QUEUE, [json.dumps({"key": key}) for key in keys],
             keys if self.random.random() < 0.3 else None,
             [self.partition_key() for _ in keys] if self.keys else None])
        for key in keys:
            self.write(did="enqueued", key=key)

    def enqueue_through_view(self):
        keys = [self.new_key() for _ in range(3)]
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO durable_work.inbox (queue, payload, partition_key) SELECT %s, jsonb_build_object('key', k), %s"
                " FROM unnest(%s::text[]) k", [QUEUE, self.partition_key(), keys[:2]])
            with self.connection.transaction():         # a savepoint
                self.connection.execute("INSERT INTO durable_work.inbox (queue, payload, partition_key) VALUES (%s, %s, %s)",
                                        [QUEUE, Jsonb({"key": keys[2]}), self.partition_key()])
        for key in keys:
            self.write(did="enqueued", key=key)

    def enqueue_and_undo(self):
        key = self.new_key()
        with self.connection.transaction():
            self.connection.execute("SELECT durable_work.enqueue(%s, %s, partition_key => %s)",
                                    [QUEUE, Jsonb({"key": key}), self.partition_key()])
            raise psycopg.Rollback()
        self.write(did="undone", key=key)

    # --- working ---

    def claim(self, jobs, lease=None):
        asked = time.monotonic()
        rows = self.connection.execute(
            "SELECT job_id, lease_token, payload->>'key', partition_key FROM durable_work.claim(%s, %s, %s, lease => %s::interval)",
            [QUEUE, self.name, jobs, lease]).fetchall()
        told = time.monotonic()
        for job, token, key, partition_key in rows:
            line = {"partition_key": partition_key} if partition_key is not None else {}
            self.write(did="claimed", job=job, token=token, asked=asked, told=told, key=key, **line)
        return [row[:3] for row in rows]

    def finish(self, job, token, key, asked, accepted, state):
        if accepted:
            self.write(did="completed", job=job, token=token, asked=asked, key=key)
        else:
            self.write(did="refused", job=job, token=token, state=state)

    def work_one_by_one(self):
        """The usual loop: receipt and completion in one transaction, a failure now and then."""
        for job, token, key in self.claim(self.random.randint(1, 5)):
            asked = time.monotonic()
            try:
                if self.random.random() < 0.05:
                    self.connection.execute("SELECT durable_work.fail(%s, %s, %s, retry_in => '20 ms')",
                                            [job, token, Jsonb({"why": "chance"})])
                    continue
                with self.connection.transaction():
                    self.connection.execute("INSERT INTO receipt VALUES (%s, %s, %s)", [key, job, token])
                    if not self.connection.execute("SELECT durable_work.complete(%s, %s)", [job, token]).fetchone()[0]:
                        raise AssertionError(f"complete({job}, {token}) was asked once and said: already")
                self.finish(job, token, key, asked, True, None)
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                if error.sqlstate not in ("DW001", "DW006"):
                    raise
                self.finish(job, token, key, asked, False, error.sqlstate)

    def work_batch(self):
        rows = self.claim(self.random.randint(5, 50))
        if not rows:
            return
        asked = time.monotonic()
        with self.connection.transaction():
            outcomes = dict(self.connection.execute(
                "SELECT job_id, outcome FROM durable_work.complete_many(%s::bigint[], %s::bigint[])",
                [[row[0] for row in rows], [row[1] for row in rows]]).fetchall())
            done = [row for row in rows if outcomes[row[0]] == "completed"]
            with self.connection.cursor() as cursor:
                cursor.executemany("INSERT INTO receipt VALUES (%s, %s, %s)",
                                   [(key, job, token) for job, token, key in done])
        for job, token, key in rows:
            self.finish(job, token, key, asked, outcomes[job] == "completed", outcomes[job])

    def work_in_one_transaction(self):
        """Claim and completion together; one in four changes its mind."""
        done = []
        asked = time.monotonic()
        try:
            with self.connection.transaction():
                for job, token, key in self.claim(3):
                    self.connection.execute("INSERT INTO receipt VALUES (%s, %s, %s)", [key, job, token])
                    self.connection.execute("SELECT durable_work.complete(%s, %s)", [job, token])
                    done.append((job, token, key))
                if self.random.random() < 0.25:
                    done = []
                    raise psycopg.Rollback()
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            if error.sqlstate not in ("DW001", "DW006"):
                raise
            done = []
        for job, token, key in done:
            self.finish(job, token, key, asked, True, None)

    def let_leases_go(self):
        """Holds short leases until they have run out, then tries all the same."""
        rows = self.claim(3, lease="100 ms")
        pause = self.random.random() * 0.3
        time.sleep(pause)
        for job, token, key in rows:
            asked = time.monotonic()
            with self.connection.transaction():
                outcome = self.connection.execute("SELECT durable_work.try_complete(%s, %s)", [job, token]).fetchone()[0]
                if outcome == "completed":
                    self.connection.execute("INSERT INTO receipt VALUES (%s, %s, %s)", [key, job, token])
            self.finish(job, token, key, asked, outcome == "completed", outcome)

    def heartbeat(self):
        rows = self.claim(2)
        self.connection.execute("SELECT count(*) FROM durable_work.heartbeat(%s)", [self.name])
        for job, token, key in rows:
            try:
                self.connection.execute("SELECT durable_work.release(%s, %s)", [job, token])
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                if error.sqlstate not in ("DW001", "DW006"):
                    raise
                self.finish(job, token, key, None, False, error.sqlstate)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--stop-file", required=True)
    parser.add_argument("--refused")
    parser.add_argument("--keys", type=int)
    try:
        Client(parser.parse_args()).run()
    except Exception as error:  # pylint: disable=broad-except
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
