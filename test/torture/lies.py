"""Lies in a copy of the books, for each of which a rule of the audit must find more that is wrong than without it."""

import copy
import random

from audit import Audit
from journal import Books

LOST = "every transaction that was acknowledged is there"
UNDONE = "no transaction is there that was rolled back, or that nobody asked to commit"
GONE = "every job that was enqueued is still there, or was finished"
TWICE = "no job was finished twice"
KEPT = "every completion that was accepted and committed is kept"
UNHEARD = "no completion is kept that was not accepted"
TOKEN = "no token was given twice"
RISE = "the tokens of a job rise"
STALE = "nothing was accepted with a token that was no longer the current one"
AFTER = "no job was handed out after it was finished"
EARLY = "no job of a key was handed out before one that was enqueued earlier"
TOGETHER = "no two jobs of a key were in flight at a time"
ATTEMPTS = "attempts are within their bounds"
COUNTERS = "the counters are those of a full count"
UNCOMMITTED = "no job was handed out whose enqueue did not commit"
REST = "everything could be worked off"


class Liar:
    def __init__(self, lines, holding, seed):
        self.lines, self.holding, self.random = lines, holding, random.Random(seed)
        there = set(holding.transactions)
        self.committed = {line["tx"] for line in lines if line["did"] == "end" and line["how"] == "committed"} & there
        self.completed = [line for line in lines if line["did"] == "accepted" and line["op"] == "complete" and line["sub"] == 0
                          and line["tx"] in self.committed]
        done = {line["job"] for line in self.completed}
        self.claims = [line for line in lines if line["did"] == "claimed" and "again" not in line]
        self.ends = [line for line in self.claims if line["job"] in done]

    def one_of(self, lines):
        return self.random.choice(lines)

    def plant(self):
        """The lines with all lies among them, and for each lie the rule that must find it."""
        done, other = self.random.sample(self.completed, 2)
        claim, counted = self.random.sample(self.ends, 2)
        end = self.one_of([line for line in self.lines if line["did"] == "end" and line["how"] == "committed" and line["tx"] in self.committed])
        later = {**claim, "token": claim["token"] + (1 << 50), "asked": 0.0, "told": 0.1}
        changed = {id(end): {**end, "how": "rolled back"}, id(other): None, id(counted): {**counted, "attempt": 99}}
        lies = [
            (LOST, [{**end, "tx": "lie"}]),
            (UNDONE, []),           # end
            (GONE, [{"did": "enqueue", "tx": done["tx"], "sub": 0, "queue": "load", "key": "lie", "pkey": None, "max": None, "idem": None, "at": done["at"]},
                    {"did": "enqueued", "tx": done["tx"], "sub": 0, "key": "lie", "job": 1 << 60, "inserted": True, "at": done["at"]}]),
            (TWICE, [{**done, "did": "cancelled"}]),
            (KEPT, [{**done, "token": 1}]),
            (UNHEARD, []),          # other
            (TOKEN, [{**claim, "job": claim["job"] + 1, "asked": 0.0}]),
            (RISE, [later]),
            (STALE, [{**later, "job": done["job"], "token": done["token"] + 1}]),
            (AFTER, [{**later, "job": done["job"], "asked": done["at"] + 1, "told": done["at"] + 2}]),
            (ATTEMPTS, []),         # counted
            (UNCOMMITTED, [{**claim, "key": "another lie", "told": float("inf")}]),
        ]
        ordered = self.pair_of_a_key()
        if ordered:
            first, second = ordered
            lies.append((EARLY, [{**first, "token": second["token"] + 1}]))
            lies.append((TOGETHER, [{"did": "accepted", "op": "complete", "job": first["job"], "token": first["token"],
                                     "asked": second["told"] + 1, "at": 0}]))
        lines = [changed.get(id(line), line) for line in self.lines]
        return [line for line in lines if line] + [line for _, more in lies for line in more], [rule for rule, _ in lies]

    def pair_of_a_key(self):
        """Claims of two jobs of a key that were enqueued one after the other in one call."""
        jobs = [(line["tx"], line["job"]) for line in self.lines if line["did"] == "enqueued" and line["inserted"] and line["sub"] == 0
                and line["tx"] in self.committed]
        claim_of = {line["job"]: line for line in self.claims if line["queue"] == "ordered"}
        of_transaction = {}
        for name, job in jobs:
            if job in claim_of:
                of_transaction.setdefault((name, claim_of[job]["pkey"]), []).append(job)
        for some in of_transaction.values():
            if len(some) > 1:
                return [claim_of[job] for job in sorted(some)[:2]]
        return None


def check(lines, holding, truth, seed):
    """The rules that did not find the lie that was planted for them, and how many lies there were. truth: the audit without them."""
    changed, rules = Liar(lines, holding, seed).plant()
    lying = copy.copy(holding)
    lying.differences = holding.differences + [("lie", 1, 2)]
    lying.unfinished = holding.unfinished + [("lie", 1)]
    found = Audit(Books(changed), lying, gap=truth.gap)
    rules += [COUNTERS, REST]
    return [rule for rule in rules if len(found.results[rule][1]) <= len(truth.results[rule][1])], len(rules)
