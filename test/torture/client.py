#!/usr/bin/python3
"""One client of the torture: does everything that can be done, at random, and writes down what it was told.

    client.py --dsn DSN --journal FILE --seed SEED --number N --stop-file FILE

Runs until the stop file exists. The seed and the number decide the order of its choices.
"""

import argparse
import os
import random
import sys
import time
import traceback

from produce import Producer
from session import Lost, Refused, Session
from work import Worker

RECONNECT_PAUSE = 0.05          # seconds
DEEP = 3000                     # unfinished jobs from which on only workers go on


class Client(Session, Producer, Worker):
    def __init__(self, dsn, journal, name, seed):
        super().__init__(dsn, journal, name)
        self.random = random.Random(f"{seed} {name}")
        self.keys = self.revision = self.requests = 0
        self.repeatable, self.mine, self.held, self.stale = [], [], [], []
        self.pending_request = self.instance = self.worker = None
        self.deep = False
        self.most_held = 60

    def style(self, prepare=True):
        return self.random.choices(["commit", "rollback", "prepare"], [8, 1.5, 1 if prepare else 0])[0]

    def hurry(self):
        """A statement timeout that ends some calls in their middle."""
        return self.random.randint(1, 10) if self.random.random() < 0.03 else None

    def decide_prepared_ones(self):
        for gid, in self.rows("SELECT gid FROM pg_prepared_xacts ORDER BY random() LIMIT 3"):
            self.decide_prepared(gid, "commit" if self.random.random() < 0.7 else "rollback")

    def look(self):
        row = self.rows("SELECT sum(unfinished) FROM durable_work.queue_stats")[0]
        self.deep = row[0] is not None and row[0] > DEEP

    def run(self, stop_file):
        producing = [self.produce, self.enqueue_single, self.enqueue_again, self.enqueue_unique]
        steps = producing + [self.change, self.operate, self.work, self.ring, self.decide_prepared_ones, self.look]
        weights = [4, 4, 1, 2, 3, 1, 12, 4, 1, 1]
        while not os.path.exists(stop_file):
            try:
                if self.connection is None:
                    self.connect()
                    if self.pending_request:
                        self.ask_request(True)
                        self.pending_request = None
                step = self.random.choices(steps, weights)[0]
                if not (self.deep and step in producing):
                    step()
            except Refused as refusal:
                self.refused("look", refusal)
            except Lost:
                time.sleep(RECONNECT_PAUSE)
        self.close()


def main():
    parser = argparse.ArgumentParser()
    for name in ("--dsn", "--journal", "--seed", "--number", "--stop-file"):
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    client = Client(options.dsn, options.journal, options.number, options.seed)
    try:
        client.run(options.stop_file)
    except Exception:  # pylint: disable=broad-except
        client.write(did="complaint", text=traceback.format_exc())
        sys.exit(1)


if __name__ == "__main__":
    main()
