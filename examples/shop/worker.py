#!/usr/bin/python3
"""A worker in Python (psycopg 3): writes receipts until it gets SIGTERM.

    worker.py --name python-1 --receipts /tmp/receipts

The loop of every worker:

    claim               its own short transaction: jobs with a lease and a fencing token
    write the file      an effect outside the database; done again it changes nothing
    BEGIN
      complete          refused (DW001) if the token is no longer the current one
      insert a row      what the job is for; commits together with its completion
    COMMIT
    no jobs?            CALL wait_for_work: sleeps in the server, holds no snapshot

--nap makes this worker slow on purpose, to show what a stale worker is told.
"""

import argparse
import os
import pathlib
import signal
import sys
import time
from typing import NamedTuple

import psycopg

QUEUE = "receipts"
STALE_LEASE = "DW001"
IN_DOUBT = "DW006"              # another open transaction is deciding this job: ask again shortly
RECONNECT_PAUSE = 0.2           # seconds


def server_is_gone(connection, error):
    """57P01 … 57P03: it shuts down, crashes, or starts."""
    return connection.closed or (error.diag.sqlstate or "").startswith("57P0")


class Job(NamedTuple):
    job_id: int
    lease_token: int            # passes 2^53: exact in Python, never to be made a float
    attempt: int
    payload: dict
    claimed_at: object


class Worker:
    def __init__(self, options):
        self.options = options
        self.connection = None
        self.batch = []
        self.naps_left = options.naps
        self.stopping = False
        self.handled = self.refused = 0

    def stop(self, *_):
        self.stopping = True

    def run(self):
        while not self.stopping:
            try:
                self.step()
            except psycopg.OperationalError as error:
                if self.connection is not None and not server_is_gone(self.connection, error):
                    raise
                self.connection_lost(error)
        self.release_rest()
        print(f"stopped: {self.handled} receipts, {self.refused} refused", flush=True)

    def step(self):
        if self.connection is None:
            self.connection = psycopg.connect(autocommit=True, application_name=self.options.name)
            print("connected", flush=True)
        if not self.batch:
            self.batch = self.claim()
            if not self.batch:
                self.connection.execute(f"CALL durable_work.wait_for_work('{{{QUEUE}}}', '500 ms')")
                return
            self.nap()
        if not self.stopping:
            self.handle(self.batch[0])
            self.batch.pop(0)

    def connection_lost(self, error):
        """The jobs in hand are kept and tried again. The server may have restarted and our leases
        with it, or our last COMMIT may have arrived after all: the tokens decide, we need not guess."""
        print("lost the server:", str(error).splitlines()[0], flush=True)
        self.connection = None
        time.sleep(RECONNECT_PAUSE)

    def claim(self):
        rows = self.connection.execute(
            """SELECT job_id, lease_token, attempt, payload, clock_timestamp()
               FROM durable_work.claim(queue => %s, worker => %s, max_jobs => %s)""",
            [QUEUE, self.options.name, self.options.batch])
        return [Job(*row) for row in rows]

    def handle(self, job):
        time.sleep(self.options.work_ms / 1000)
        self.write_file(job.payload)
        while True:
            try:
                self.complete(job)
                return
            except psycopg.Error as error:
                if error.diag.sqlstate == STALE_LEASE:
                    self.note_refusal(job, error)
                    return
                if error.diag.sqlstate != IN_DOUBT or self.stopping:
                    raise
                time.sleep(0.05)

    def complete(self, job):
        with self.connection.transaction():
            completed_now, = self.connection.execute(
                "SELECT durable_work.complete(job_id => %s, lease_token => %s)",
                [job.job_id, job.lease_token]).fetchone()
            if completed_now:   # false: an earlier try of ours had been committed after all
                self.connection.execute(
                    """INSERT INTO shop.receipts
                           (order_id, job_id, lease_token, attempt, worker, claimed_at)
                       VALUES (%s, %s, %s, %s, %s, %s)""",
                    [job.payload["order_id"], job.job_id, job.lease_token, job.attempt,
                     self.options.name, job.claimed_at])
                self.handled += 1

    def note_refusal(self, job, error):
        """Our transaction is rolled back: somebody else has this job now, or has done it."""
        self.refused += 1
        self.connection.execute(
            """INSERT INTO shop.refusals
                   (order_id, job_id, lease_token, worker, claimed_at, sqlstate, message)
               VALUES (%s, %s, %s, %s, %s, %s, %s)""",
            [job.payload["order_id"], job.job_id, job.lease_token, self.options.name,
             job.claimed_at, error.diag.sqlstate, error.diag.message_primary])

    def write_file(self, order):
        """The whole file or none: a new name, then a rename. The text depends on the order alone,
        so a job that is handed out twice writes the same file twice."""
        folder = pathlib.Path(self.options.receipts)
        target = folder / f"order-{order['order_id']}.txt"
        draft = folder / f".{target.name}.{os.getpid()}"
        units, cents = divmod(order["amount_cents"], 100)
        draft.write_text(f"Receipt for order {order['order_id']}\n"
                         f"{order['customer']} <{order['email']}>\n"
                         f"paid: {units}.{cents:02d} {order['currency']}\n", encoding="utf-8")
        draft.rename(target)

    def nap(self):
        """Dozes off with jobs in hand until long after their lease has run out."""
        if self.naps_left == 0:
            return
        self.naps_left -= 1
        wake_up = time.monotonic() + self.options.nap
        while not self.stopping and time.monotonic() < wake_up:
            time.sleep(0.05)

    def release_rest(self):
        """Told to stop: gives back what it has not begun, so that nobody waits for the lease."""
        for job in self.batch:
            try:
                self.connection.execute("SELECT durable_work.release(job_id => %s, lease_token => %s)",
                                        [job.job_id, job.lease_token])
            except (psycopg.Error, AttributeError):
                pass            # stale, or no server: the lease ends by itself


def main():
    parser = argparse.ArgumentParser(description="Write receipts until told to stop.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--receipts", required=True, help="folder for the receipt files")
    parser.add_argument("--batch", type=int, default=10, help="jobs a claim")
    parser.add_argument("--work-ms", type=float, default=15, help="how long one receipt takes")
    parser.add_argument("--nap", type=float, default=0, help="seconds to sleep with jobs in hand")
    parser.add_argument("--naps", type=int, default=0, help="how many such naps")
    worker = Worker(parser.parse_args())
    signal.signal(signal.SIGTERM, worker.stop)
    worker.run()


if __name__ == "__main__":
    sys.exit(main())
