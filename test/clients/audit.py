#!/usr/bin/python3
"""Compares what the clients of mixed_load.py were told with what the database holds in the end.

    audit.py --dsn DSN [--emptied] [--ordered] JOURNAL...

Run when the queue has been drained. With --emptied finished jobs may be gone from the log, because
their retention is over: then the receipts say what was done.
With --ordered the queue keeps the order of each
partition key, and each key has one producer. Prints one line a rule: `ok` or `broken`, the rule, and how
much there was to look at; then examples of what is broken. Exit status 1 if anything is.
"""

import argparse
import collections
import json
import sys

import psycopg


def read(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as journal:
            for text in journal:
                # The last line of a killed client may be cut short: it was never told.
                if text.endswith("\n"):
                    lines.append(json.loads(text))
    return lines


def by(lines, did):
    return [line for line in lines if line["did"] == did]


class Audit:
    def __init__(self):
        self.broken = 0

    def rule(self, text, looked_at, wrong):
        if not looked_at:
            wrong = ["there was nothing to look at"]
        print(f"{'broken' if wrong else 'ok'}: {text} ({looked_at} looked at)")
        for example in wrong[:10]:
            print(f"    {example}")
        self.broken += bool(wrong)


def check_order(audit, claims, completions):
    claims_of = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in claims:
        if "partition_key" in line:
            claims_of[line["partition_key"]][line["job"]].append(line)
    completed_at = {(line["job"], line["token"]): line["asked"] for line in completions}
    early, together, pairs = [], [], 0
    for key, jobs in claims_of.items():
        ids = sorted(jobs)
        for first, second in zip(ids, ids[1:]):
            pairs += 1
            last = max(line["token"] for line in jobs[first])
            earliest = min(jobs[second], key=lambda line: line["token"])
            if last > earliest["token"]:
                early.append((key, first, second, last, earliest["token"]))
            ends = [completed_at[first, line["token"]] for line in jobs[first] if (first, line["token"]) in completed_at]
            if any(end > earliest["told"] for end in ends):
                together.append((key, first, second, ends, earliest["told"]))
    audit.rule("no job of a key was handed out before one that was enqueued earlier", pairs, early)
    audit.rule("no two jobs of a key were in flight at a time", pairs, together)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--emptied", action="store_true")
    parser.add_argument("--ordered", action="store_true")
    parser.add_argument("journals", nargs="+")
    options = parser.parse_args()
    lines = read(options.journals)
    with psycopg.connect(options.dsn) as connection:
        receipts = connection.execute("SELECT key, job_id, token FROM receipt").fetchall()
        statuses = connection.execute(
            "SELECT payload->>'key', id, status FROM durable_work.inbox WHERE queue = 'load'").fetchall()

    asked = {line["key"] for line in by(lines, "ask")}
    acknowledged = {line["key"] for line in by(lines, "enqueued")}
    undone = {line["key"] for line in by(lines, "undone")}
    claims = by(lines, "claimed")
    completions = by(lines, "completed")
    receipts_of = collections.Counter(key for key, _, _ in receipts)
    jobs_of = collections.defaultdict(list)
    for key, job, status in statuses:
        jobs_of[key].append((job, status))

    audit = Audit()
    may_be = [["completed"], []] if options.emptied else [["completed"]]
    audit.rule("every acknowledged enqueue is one job, completed", len(acknowledged),
               [(key, jobs_of[key]) for key in acknowledged
                if [status for _, status in jobs_of[key]] not in may_be])
    audit.rule("every acknowledged enqueue has exactly one receipt", len(acknowledged),
               [(key, receipts_of[key]) for key in acknowledged if receipts_of[key] != 1])
    audit.rule("an enqueue that was not answered is one job or none", len(asked - acknowledged - undone) + 1,
               [(key, jobs_of[key], receipts_of[key]) for key in asked - acknowledged - undone
                if len(jobs_of[key]) > receipts_of[key] or receipts_of[key] > 1
                or (len(jobs_of[key]) < receipts_of[key] and not options.emptied)])
    audit.rule("an enqueue that was rolled back is no job", len(undone),
               [key for key in undone if jobs_of[key] or receipts_of[key]])
    audit.rule("no job that nobody asked for", len(jobs_of), [key for key in jobs_of if key not in asked])
    tokens = collections.Counter(line["token"] for line in claims)
    audit.rule("no token was given twice", len(claims), [token for token, times in tokens.items() if times > 1])

    claims_of = collections.defaultdict(list)
    for line in claims:
        claims_of[line["job"]].append(line)
    falling = []
    for job, own in claims_of.items():
        # A claim that was answered before another was asked for must have the lower token.
        own.sort(key=lambda line: line["token"])
        earliest_answer = float("inf")
        for line in reversed(own):
            if earliest_answer < line["asked"]:
                falling.append((job, line["token"]))
            earliest_answer = min(earliest_answer, line["told"])
    audit.rule("the tokens of a job rise", sum(len(own) > 1 for own in claims_of.values()), falling)

    stale = []
    for line in completions:
        for claim in claims_of[line["job"]]:
            if claim["token"] > line["token"] and claim["told"] < line["asked"]:
                stale.append((line["job"], line["token"], claim["token"]))
    audit.rule("no completion was accepted with a token that was no longer the current one", len(completions), stale)
    told = {(line["job"], line["token"]) for line in completions}
    kept = {(job, token) for _, job, token in receipts}
    audit.rule("every acknowledged completion is kept", len(told), sorted(told - kept))
    wrong_key = {line["job"]: line["key"] for line in claims}
    audit.rule("every claim brought the payload of its job", len(statuses),
               [(key, job) for key, job, _ in statuses if wrong_key.get(job, key) != key])
    if options.ordered:
        check_order(audit, claims, completions)
    print(f"refused: {collections.Counter(line['state'] for line in by(lines, 'refused'))}")
    sys.exit(1 if audit.broken else 0)


if __name__ == "__main__":
    main()
