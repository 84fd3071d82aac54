#!/usr/bin/python3
"""Makes orders.csv, the order file of the shop. The same seed always gives the same bytes.

    ./make_orders.py > orders.csv            # what is in the repository
    ./make_orders.py --orders 100000         # a larger shop

Most orders wait for their payment. Some were paid before and some were cancelled: nobody may
pay those, and nobody may get a receipt for them.
"""

import argparse
import csv
import random
import sys

FIRST_ORDER_ID = 10001
COLUMNS = ["order_id", "customer", "email", "amount_cents", "currency", "status"]

# Names that break careless code: quotes, commas, accents, other alphabets.
GIVEN_NAMES = ["Ada", "Björn", "Chloé", "Dmitri", "Élodie", "Fatima", "Grace", "Hiroshi", "Ines",
               "João", "Kwame", "Łukasz", "María", "Nguyễn", "Olga", "Priya", "Quentin", "Ruth",
               "Søren", "Tomáš", "Uma", "Víctor", "Wei", "Ximena", "Yusuf", "Zoë"]
FAMILY_NAMES = ["Almeida", "Brontë", "Castillo", "D'Angelo", "Eriksson", "Fischer", "García",
                "Haddad", "Ito", "Jansen", "Kowalski", "Lindqvist", "Moreau", "Nakamura",
                "O'Brien", "Petrov", "Quispe", "Rossi", "Smith, Jr.", "Tan", "van der Berg",
                "Weiß", "Young", "Žižka"]
MAIL_DOMAINS = ["example.com", "example.net", "example.org"]
CURRENCIES = ["EUR", "EUR", "EUR", "USD", "USD", "GBP"]


def pick(source, values):
    """One of the values. Only random() is promised to stay the same in later Python versions."""
    return values[int(source.random() * len(values))]


def amount_cents(source):
    """Many small amounts, a few large ones: 2.99 up to about 3,000."""
    return 299 + int(300000 * source.random() ** 6)


def status(source):
    draw = source.random()
    if draw < 0.05:
        return "cancelled"
    if draw < 0.12:
        return "paid"
    return "pending_payment"


def orders(count, seed):
    source = random.Random(seed)
    for order_id in range(FIRST_ORDER_ID, FIRST_ORDER_ID + count):
        customer = f"{pick(source, GIVEN_NAMES)} {pick(source, FAMILY_NAMES)}"
        email = f"customer{1 + int(source.random() * 900)}@{pick(source, MAIL_DOMAINS)}"
        yield [order_id, customer, email, amount_cents(source), pick(source, CURRENCIES),
               status(source)]


def main():
    parser = argparse.ArgumentParser(description="Write the order file of the shop to stdout.")
    parser.add_argument("--orders", type=int, default=3000, help="how many (default 3000)")
    parser.add_argument("--seed", type=int, default=2026, help="default 2026")
    options = parser.parse_args()

    sys.stdout.reconfigure(encoding="utf-8", newline="")
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(orders(options.orders, options.seed))


if __name__ == "__main__":
    main()
