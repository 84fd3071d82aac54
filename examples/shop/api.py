#!/usr/bin/python3
"""The shop's API, without the web server: it takes payments.

    api.py pay    --round 1 --rate 100     every order once; some cards are declined
    api.py pay    --round 2 --rate 100     impatient customers press the button again
    api.py resend --every 10               a clumsy script asks for receipts a second time

The work is enqueued inside the payment's own transaction (shop.pay_order in schema.sql). So there
is no moment in which an order is paid and its receipt is not on the way, or the reverse. When the
server goes away in the middle of a payment the API cannot know whether it was committed. It just
pays again: the guard in the UPDATE finds out.
"""

import argparse
import itertools
import sys
import time

import psycopg

RECONNECT_PAUSE = 0.2           # seconds
GIVE_UP_AFTER = 60.0            # seconds without a server


class CardDeclined(Exception):
    """The bank said no, after the UPDATE and the enqueue: everything has to be undone."""


def card_is_declined(order_id, payment_round):
    """Which cards are bad: every 29th at first; half of those customers find a better one."""
    return order_id % 29 == 0 and (payment_round == 1 or order_id % 2 == 0)


def connect():
    deadline = time.monotonic() + GIVE_UP_AFTER
    while True:
        try:
            return psycopg.connect(autocommit=True, application_name="shop api")
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RECONNECT_PAUSE)


def pay(connection, order_id, payment_round):
    """One payment, one transaction. Returns what the customer is told."""
    try:
        with connection.transaction():
            job_id, _ = connection.execute(
                "SELECT job_id, inserted FROM shop.pay_order(%s)", [order_id]).fetchone()
            if job_id is None:
                outcome = "not_payable"
            elif card_is_declined(order_id, payment_round):
                raise CardDeclined
            else:
                outcome = "paid"
            log_answer(connection, order_id, payment_round, outcome)
            return outcome
    except CardDeclined:        # rolled back: the order is unpaid again, the job never existed
        log_answer(connection, order_id, payment_round, "card_declined")
        return "card_declined"


def log_answer(connection, order_id, payment_round, outcome):
    connection.execute("INSERT INTO shop.payment_log (order_id, round, outcome) VALUES (%s, %s, %s)",
                       [order_id, payment_round, outcome])


def orders_of_round(connection, payment_round):
    """Round 1: every order. Round 2: every order with a declined card, and every tenth of the others."""
    return [row[0] for row in connection.execute(
        """SELECT order_id FROM shop.orders
           WHERE %(round)s = 1 OR order_id %% 29 = 0 OR order_id %% 10 = 0
           ORDER BY order_id""", {"round": payment_round})]


def take_payments(payment_round, rate):
    connection = connect()
    start = time.monotonic()
    due = itertools.count(start, 1.0 / rate)
    for order_id in orders_of_round(connection, payment_round):
        time.sleep(max(0.0, next(due) - time.monotonic()))
        while True:
            try:
                pay(connection, order_id, payment_round)
                break
            except psycopg.OperationalError as error:
                # 57P01 … 57P03: the server shuts down, crashes, or starts.
                if not connection.closed and not (error.diag.sqlstate or "").startswith("57P0"):
                    raise
                connection.close()
                connection = connect()


def resend(every):
    """Skips the guard and enqueues again, with the same idempotency keys. Prints what it made."""
    with connect() as connection:
        asked, made = connection.execute(
            """SELECT count(*), count(*) FILTER (WHERE again.inserted)
               FROM shop.orders AS paid, LATERAL shop.request_receipt(paid) AS again
               WHERE paid.paid_at IS NOT NULL AND paid.order_id %% %s = 0""", [every]).fetchone()
    print(asked, made)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    pay_command = commands.add_parser("pay")
    pay_command.add_argument("--round", type=int, default=1, choices=[1, 2])
    pay_command.add_argument("--rate", type=float, default=100.0, help="payments a second")
    resend_command = commands.add_parser("resend")
    resend_command.add_argument("--every", type=int, default=10)
    options = parser.parse_args()

    if options.command == "pay":
        take_payments(options.round, options.rate)
    else:
        resend(options.every)


if __name__ == "__main__":
    sys.exit(main())
