#!/usr/bin/python3
"""A worker that does not block in the server: it asks, with growing pauses, and with --listen it is told
when to ask (psycopg 3). For clients that cannot keep a connection busy with CALL wait_for_work.

    PGDATABASE=polling_example ./poller.py [--listen]
"""

import os
import random
import select
import signal
import socket
import sys
import time

import psycopg

QUEUE = "thumbnails"
FIRST_PAUSE = 0.05      # seconds, after the first claim that finds nothing
LONGEST_PAUSE = 2.0     # so long a job may wait for an idle worker that nobody tells
JITTER = 0.2            # a fifth more or less

stopping = False


def stop(*_):
    global stopping
    stopping = True


def pause_after(empty_claims):
    """How long to pause after so many claims in a row that found nothing."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(empty_claims - 1, 16))
    return pause * random.uniform(1 - JITTER, 1 + JITTER)


def sleep(connection, seconds, listening):
    """True: a notification came. They may be lost, or be about another queue, or come too late: a claim tells."""
    end = time.monotonic() + seconds
    while not stopping:
        left = end - time.monotonic()
        if left <= 0:
            return False
        sources = [connection.fileno()] if listening else []
        if select.select(sources, [], [], min(left, 0.2))[0]:
            return True
    return False


def handle(connection, worker, job_id, lease_token, payload):
    with connection.transaction():
        connection.execute("INSERT INTO thumbnail VALUES (%s, %s)", [payload["picture"], worker])
        connection.execute("SELECT durable_work.complete(job_id => %s, lease_token => %s)", [job_id, lease_token])


def main(listening):
    worker = f"{'listener' if listening else 'poller'}-{socket.gethostname()}-{os.getpid()}"
    with psycopg.connect(autocommit=True, application_name=worker) as connection:
        if listening:
            connection.execute("LISTEN durable_work")
        empty = 0
        while not stopping:
            jobs = connection.execute(
                "SELECT job_id, lease_token, payload FROM durable_work.claim(%s, worker => %s, max_jobs => 5)",
                [QUEUE, worker]).fetchall()
            for job in jobs:
                handle(connection, worker, *job)
            # The next claim follows at once while there is work.
            empty = 0 if jobs else empty + 1
            if not jobs and sleep(connection, pause_after(empty), listening):
                empty = 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.exit(main("--listen" in sys.argv[1:]))
