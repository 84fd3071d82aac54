"""Books of the torture: what a client writes down, and what can be read from all books together.

A line is one JSON object, written with one system call, so a client that is killed loses at most the line it was
writing. Each line has "at", the system-wide monotonic clock. Lines of a transaction have "tx", its name, which the
transaction also inserts into the table tx: whether it happened is told by the server in the end, whatever the client
could learn. "sub" is the savepoint in which a line was written, 0 for none.

    begin                                 of a transaction
    enqueue  queue key pkey max idem      asked; the answer is  enqueued  key job inserted
    claimed  queue job token attempt key rev pkey asked told [again]
    accepted op job token asked [result]  complete, fail, release, defer, reject, extend were told yes
    cancelled, discarded  job             told yes
    revised  job rev                      update_payload was told yes
    swept    queue                        cancel_many or purge_queue
    marked   key                          mark_handled said: the first time
    undone   subs                         these savepoints were rolled back
    commit, prepare                       asked to end
    end      how                          committed, rolled back, prepared; when the connection was lost unknown or, if nobody had
                                          asked to commit, broken
    decide   how                          COMMIT or ROLLBACK PREPARED asked; acknowledged: decided
    refused  op state                     for people
    complaint text                        something that may not happen
"""

import collections
import json
import os
import time


class Journal:
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **line):
        line.setdefault("at", time.monotonic())
        os.write(self.file, (json.dumps(line) + "\n").encode())


def read(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as journal:
            lines += [json.loads(text) for text in journal if text.endswith("\n")]
    return lines


class Transaction:
    """What the books say of one transaction."""

    def __init__(self, name):
        self.name = name
        self.asked_at = None            # COMMIT or PREPARE was sent
        self.how = None                 # as in "end"; None when its client was killed
        self.ended_at = None
        self.was_prepared = False       # PREPARE was sent
        self.decide = []                # (how, asked)
        self.decided = []               # (how, told)
        self.undone = set()
        self.enqueues = []              # dict of "enqueue", with "job" and "inserted" once answered
        self.accepted = []
        self.effects = []               # the rest that counts once it is committed

    def committed_at(self):
        """When somebody knew that it was committed; None if nobody ever did."""
        if self.how == "committed":
            return self.ended_at
        return min((told for how, told in self.decided if how == "commit"), default=None)

    def rolled_back(self):
        """It must not be there: rolled back, or nobody ever asked to commit it."""
        if self.was_prepared and self.how != "rolled back":
            return any(how == "rollback" for how, _ in self.decided) or not any(how == "commit" for how, _ in self.decide)
        return self.how == "rolled back" or self.asked_at is None


class Books:
    def __init__(self, lines):
        self.transactions = {}
        self.claims = []
        self.accepted = []              # all, whatever became of the transaction
        self.complaints = []
        self.did = collections.Counter()
        for line in lines:
            self.enter(line)
        for transaction in self.transactions.values():
            for part in ("enqueues", "accepted", "effects"):
                setattr(transaction, part, [line for line in getattr(transaction, part) if line["sub"] not in transaction.undone])

    def of(self, name):
        if name not in self.transactions:
            self.transactions[name] = Transaction(name)
        return self.transactions[name]

    def enter(self, line):
        did = line["did"]
        if did == "refused":
            self.did[f"{line['op']} refused with {line['state']}"] += 1
            return
        self.did[f"{did} {line['op']}" if did == "accepted" else f"{did} {line['how']}" if did == "end" else did] += 1
        if did == "complaint":
            self.complaints.append(line["text"])
            return
        if did == "claimed":
            self.claims.append(line)
        if "tx" in line:
            self.enter_transaction(self.of(line["tx"]), did, line)
        elif did == "accepted":
            self.accepted.append(line)

    def enter_transaction(self, transaction, did, line):
        if did == "enqueue":
            transaction.enqueues.append(dict(line))
        elif did == "enqueued":
            for asked in transaction.enqueues:
                if asked["key"] == line["key"] and asked["sub"] == line["sub"] and "job" not in asked:
                    asked.update(job=line["job"], inserted=line["inserted"])
                    break
        elif did == "accepted":
            self.accepted.append(line)
            transaction.accepted.append(line)
        elif did in ("cancelled", "discarded", "revised", "swept", "marked"):
            transaction.effects.append(line)
        elif did == "undone":
            transaction.undone.update(line["subs"])
        elif did in ("commit", "prepare"):
            transaction.asked_at = line["at"]
            transaction.was_prepared = did == "prepare"
        elif did == "end":
            transaction.how, transaction.ended_at = line["how"], line["at"]
        elif did == "decide":
            transaction.decide.append((line["how"], line["at"]))
        elif did == "decided":
            transaction.decided.append((line["how"], line["at"]))
