#!/usr/bin/python3
"""A worker in Python (psycopg 3): sends the mail of the queue `mail` until it gets SIGTERM.

    PGDATABASE=queue_example ./worker.py

Claims in a transaction of its own, works and completes in one. A second connection sends heartbeats, so a job
may take longer than a lease. The server may go away and come back; tokens decide what was done.
"""

import os
import signal
import socket
import sys
import threading

import psycopg
from psycopg.types.json import Jsonb

QUEUE = "mail"
WORKER = f"python-{socket.gethostname()}-{os.getpid()}"
LEASE_SECONDS = 30
STALE_LEASE = "DW001"
IN_DOUBT = "DW006"                          # a connection that we lost is still deciding the job
TRY_AGAIN = (IN_DOUBT, "40001", "40P01")    # or serialisation failure, deadlock

stopping = threading.Event()


def server_is_gone(connection, error):
    """57P01 to 57P03: it shuts down, crashes, or starts."""
    return connection.closed or (error.diag.sqlstate or "").startswith("57P0")


def send(connection, job_id, payload):
    """The work. Here a row; it commits together with the completion. To send a real mail, give the
    provider job_id as idempotency key: a job can be handed out twice."""
    connection.execute("INSERT INTO sent VALUES (%s, %s, %s)", [payload["to"], job_id, WORKER])


def handle(connection, job_id, lease_token, payload):
    while not stopping.is_set():
        try:
            with connection.transaction():
                completed_now, = connection.execute(
                    "SELECT durable_work.complete(job_id => %s, lease_token => %s)", [job_id, lease_token]).fetchone()
                if completed_now:           # false: our last try was committed after all
                    send(connection, job_id, payload)
            return
        except psycopg.Error as error:
            if server_is_gone(connection, error):
                raise                       # main() connects again; the lease runs out
            if error.diag.sqlstate == STALE_LEASE:
                print(f"job {job_id}: no longer ours: {error.diag.message_detail}", flush=True)
                return
            if error.diag.sqlstate not in TRY_AGAIN:
                fail(connection, job_id, lease_token, error)
                return
            stopping.wait(0.2)
        except Exception as error:          # the work went wrong and is rolled back
            fail(connection, job_id, lease_token, error)
            return


def fail(connection, job_id, lease_token, error):
    """In a transaction of its own. Stale is fine: then it is somebody else's job."""
    print(f"job {job_id}: {error}", flush=True)
    try:
        connection.execute("SELECT durable_work.fail(job_id => %s, lease_token => %s, error => %s)",
                           [job_id, lease_token, Jsonb({"message": str(error)})])
    except psycopg.Error as second:
        if second.diag.sqlstate not in (STALE_LEASE, IN_DOUBT):
            raise


def send_heartbeats():
    """Keeps the leases of this process as long as it works. Ends with the process."""
    connection = None
    while not stopping.wait(LEASE_SECONDS / 3):
        try:
            connection = connection or psycopg.connect(autocommit=True, application_name=f"{WORKER} heartbeat")
            connection.execute("SELECT * FROM durable_work.heartbeat(worker => %s, lease => %s::interval)",
                               [WORKER, f"{LEASE_SECONDS} s"])
        except psycopg.Error:
            connection = None


def work():
    with psycopg.connect(autocommit=True, application_name=WORKER) as connection:
        while not stopping.is_set():
            connection.execute("CALL durable_work.wait_for_work(%s::text[], '2 s')", [[QUEUE]])
            jobs = connection.execute(
                """SELECT job_id, lease_token, payload
                   FROM durable_work.claim(%s, worker => %s, max_jobs => 10, lease => %s::interval)""",
                [QUEUE, WORKER, f"{LEASE_SECONDS} s"]).fetchall()
            for job in jobs:
                handle(connection, *job)    # told to stop: does nothing
                if stopping.is_set():
                    release(connection, jobs)
                    break


def release(connection, jobs):
    """Gives back what is not done, so that nobody has to wait for the lease."""
    for job_id, lease_token, _ in jobs:
        try:
            connection.execute("SELECT durable_work.release(job_id => %s, lease_token => %s)", [job_id, lease_token])
        except psycopg.Error:
            pass                            # completed, or not ours any more


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    threading.Thread(target=send_heartbeats, daemon=True).start()
    while not stopping.is_set():
        try:
            work()
        except psycopg.OperationalError as error:       # a real mistake of ours is no OperationalError
            print("lost the server:", str(error).splitlines()[0], flush=True)
            stopping.wait(1)


if __name__ == "__main__":
    sys.exit(main())
