#!/usr/bin/python3
"""Waits and claims in one pipeline: both statements are at the server before there is a job.

    pipelined_wait.py --dsn DSN QUEUE

Prints the payload's n, then whether an empty queue gives no row after the timeout.
"""

import argparse

import psycopg


def wait_and_claim(connection, queue, timeout):
    with connection.pipeline():
        connection.execute("CALL durable_work.wait_for_work(ARRAY[%s], %s::interval)", [queue, timeout])
        claimed = connection.execute(
            "SELECT job_id, lease_token, payload->>'n' FROM durable_work.claim(%s::text, 'pipelined')", [queue])
        return claimed.fetchone()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("queue")
    options = parser.parse_args()
    with psycopg.connect(options.dsn, autocommit=True) as connection:
        job, token, n = wait_and_claim(connection, options.queue, "1 h")
        done = connection.execute("SELECT durable_work.complete(%s, %s)", [job, token]).fetchone()[0]
        nothing = wait_and_claim(connection, options.queue, "50 ms")
        print(n, "completed" if done else "refused", "nothing left" if nothing is None else nothing)


if __name__ == "__main__":
    main()
