#!/usr/bin/python3
"""Judges what the clients of keyed_load.py have written down, together with what became of the jobs.

    keyed_audit.py --dsn DSN --max-attempts N JOURNAL...

The test that started the clients keeps a journal, too:

    {"did": "drained", "worker": …, "instance": …, "deadline": microseconds, "asked": t, "told": t}
    {"did": "deregistered", "worker": …, "instance": …, "asked": t, "told": t}
    {"did": "extended", …}                                          a lease of somebody else, as in the journals of the workers
    {"did": "crashed", "asked": t, "told": t}                       the server was stopped, and is there again
    {"did": "owners", "queue": …, "owners": {key: worker}, "asked": t, "told": t}       all that time

A lease begins before its claim is told. It ends at the earliest when it runs out by what its holder was told last, when a
decision under it is asked for that is not refused, at the deadline of its holder's drain, or with the server. A later claim
of the job, or of another one of its key, that is told before that is a fault, whatever the delays between.

Prints one line a rule: `ok` or `broken`, the rule, and how much there was to look at; then examples of what is broken. Exit
status 1 if anything is. To show that it is not blind it then puts the faults of keyed_lies.py into copies of what it has read, one
at a time, and says for each whether it was `found` or `missed`. Exit status 1 also if no lie about some rule was found.
"""

import argparse
import collections
import sys

import psycopg

from audit import read
from keyed_lies import LIES

NEVER = float("inf")
RULES = {
    "same job": "nobody got a job while another lease of it was valid",
    "accepted": "nothing was accepted under a lease after a later claim of the job had returned",
    "decided": "nothing but the same completion was accepted under a lease that had been decided",
    "final": "no completed job was handed out again",
    "tokens": "tokens rise, and none was given twice",
    "given": "who was told to end, or deregistered, was given no job after that",
    "owned": "while the owners of the keys were the same, they and nobody else got their jobs",
    "order": "no job of a key was handed out before an earlier one was finished: by their tokens",
    "together": "no job of a key was handed out before an earlier one was finished: by the clocks of the workers",
    "followers": "what waited behind a job whose death ends its key was never handed out",
    "effect": "each completed job has its effect once, under a lease that its worker had got",
    "finished": "each job that was enqueued has ended, and in queue plain it was completed",
}


class Lease:
    """What is known of one lease: its claim, and what its holder asked for and was told."""

    def __init__(self, line):
        self.line = line
        self.job, self.token, self.told, self.asked = line["job"], line["token"], line["told"], line["asked"]
        self.until = line["until"]
        self.calls = []         # (asked, told, what, whether it was accepted) of the decisions that were answered
        self.used = []          # (asked, what) of all that was accepted
        self.ends = []          # (asked, what) of decisions that were not refused, or not answered
        self.drained_at = NEVER
        self.crashed_at = NEVER

    def completed_at(self):
        return min((at for at, what in self.ends if what == "complete"), default=NEVER)

    def earliest_end(self):
        return min([self.until, self.drained_at, self.crashed_at] + [at for at, _ in self.ends])


class Records:
    def __init__(self, lines):
        self.enqueued = {job: line for line in lines if line["did"] == "enqueued" for job in line["jobs"]}
        answers = {line["call"]: line for line in lines if line["did"] in ("decided", "refused")}
        self.leases = sorted((Lease(line) for line in lines if line["did"] == "claimed"), key=lambda lease: (lease.token, lease.told))
        by_token = {(lease.job, lease.token): lease for lease in self.leases}
        self.unknown_leases = []
        for line in lines:
            if line["did"] not in ("deciding", "extended"):
                continue
            lease = by_token.get((line["job"], line["token"]))
            if lease is None:
                self.unknown_leases.append(line)
            elif line["did"] == "extended":
                lease.until = max(lease.until, line["until"])
                lease.used.append((line["asked"], "extended"))
            else:
                self.note_decision(lease, line, answers.get(line["call"]))
        self.note_ends_from_outside(lines)
        self.unblocked = collections.defaultdict(list)      # key: (asked, told, action)
        for line in lines:
            answer = answers.get(line.get("call"), {"did": "decided", "at": NEVER})
            if line["did"] == "unblocking" and answer["did"] == "decided":
                self.unblocked[line["key"]].append((line["at"], answer["at"], line["action"]))

    @staticmethod
    def note_decision(lease, line, answer):
        if answer is not None:
            lease.calls.append((line["at"], answer["at"], line["what"], answer["did"] == "decided"))
            if answer["did"] == "refused":
                return
        what = line["what"]
        if answer is not None:
            lease.used.append((line["at"], what))
            what = answer["answer"] if what == "fail" else what
        lease.ends.append((line["at"], what))

    def note_ends_from_outside(self, lines):
        drains = collections.defaultdict(list)
        self.ended_by = collections.defaultdict(list)       # (worker, instance): when it had been told to end
        for line in lines:
            if line["did"] in ("drained", "deregistered"):
                self.ended_by[line["worker"], line["instance"]].append(line["told"])
            if line["did"] == "drained":
                drains[line["worker"], line["instance"]].append(line["asked"] + line["deadline"])
        self.owners = [line for line in lines if line["did"] == "owners"]
        crashes = sorted((line["asked"], line["told"]) for line in lines if line["did"] == "crashed")
        for lease in self.leases:
            lease.drained_at = min(drains[lease.line["worker"], lease.line["instance"]], default=NEVER)
            lease.crashed_at = min((asked for asked, told in crashes if told > lease.asked), default=NEVER)

    def of_jobs(self):
        jobs = collections.defaultdict(list)
        for lease in self.leases:
            jobs[lease.job].append(lease)
        return jobs


class Audit:
    def __init__(self, say=print):
        self.say = say
        self.broken = []

    def rule(self, name, looked_at, wrong):
        if not looked_at:
            wrong = ["there was nothing to look at"]
        self.say(f"{'broken' if wrong else 'ok'}: {RULES[name]} ({looked_at} looked at)")
        for example in wrong[:10]:
            self.say(f"    {example}")
        if wrong:
            self.broken.append(name)


def check_leases(audit, records, jobs):
    overlapping, late, again, pairs, stale = [], [], [], 0, 0
    for job, leases in jobs.items():
        for number, first in enumerate(leases):
            for second in leases[number + 1:number + 2]:
                pairs += 1
                if second.told < first.earliest_end():
                    overlapping.append((job, first.token, first.earliest_end(), second.token, second.told))
            next_told = min((lease.told for lease in leases[number + 1:]), default=NEVER)
            stale += sum(asked > next_told for asked, _, _, _ in first.calls)
            late += [(job, first.token, what, at, next_told) for at, what in first.used if at > next_told]
            if number + 1 < len(leases) and any(what == "complete" for _, what in first.used):
                again.append((job, first.token, leases[-1].token))
    audit.rule("same job", pairs, overlapping)
    audit.rule("accepted", stale, late + records.unknown_leases)
    audit.rule("final", len(jobs), again)


def check_decided(audit, records):
    second, looked_at = [], 0
    for lease in records.leases:
        decisions = [(told, what) for _, told, what, accepted in lease.calls if accepted]
        for asked, _, what, accepted in lease.calls:
            before = {other for told, other in decisions if told < asked}
            looked_at += bool(before)
            if accepted and before and before | {what} != {"complete"}:
                second.append((lease.job, lease.token, before, what))
    audit.rule("decided", looked_at, second)


def check_owners(audit, records):
    given = [(lease.job, lease.token, lease.line["worker"], lease.line["instance"], lease.asked) for lease in records.leases
             if lease.asked > min(records.ended_by[lease.line["worker"], lease.line["instance"]], default=NEVER)]
    audit.rule("given", sum(map(len, records.ended_by.values())), given)
    strangers, looked_at = [], 0
    for line in records.owners:
        for lease in records.leases:
            if lease.line["queue"] == line["queue"] and line["asked"] < lease.asked and lease.told < line["told"]:
                looked_at += 1
                if lease.line["worker"] != line["owners"].get(lease.line["key"], lease.line["worker"]):
                    strangers.append((lease.line["queue"], lease.line["key"], lease.job, lease.line["worker"]))
    audit.rule("owned", looked_at, strangers)


def check_tokens(audit, records):
    """A claim that was told before another was asked for has the lower token. All of one claim have the same times."""
    falling = [(one.job, one.token) for one, other in zip(records.leases, records.leases[1:]) if one.token == other.token]
    earliest_told = NEVER
    for lease in reversed(records.leases):
        if earliest_told < lease.asked:
            falling.append((lease.job, lease.token))
        earliest_told = min(earliest_told, lease.told)
    audit.rule("tokens", len(records.leases), falling)


def death(leases, max_attempts):
    """The earliest moment at which the last lease can have made a dead letter of the job; None: another one can have, that of
    a claim whose answer nobody got."""
    last = leases[-1]
    failed = [at for at, what in last.ends if what == "dead_letter"]
    if failed:
        return min(failed)
    given_back = min(last.drained_at, last.crashed_at) < last.until or any(what != "fail" for _, what in last.ends)
    return None if given_back or last.line["attempt"] < max_attempts else min([last.until] + [at for at, _ in last.ends])


def finish(leases, status, records, max_attempts):
    """The earliest moment at which a job can have been finished for good, None where that is not known."""
    if status == "completed":
        return min(lease.completed_at() for lease in leases)
    dead = death(leases, max_attempts)
    if dead is None or leases[0].line["queue"] != "hold":
        return dead
    return min((asked for asked, told, action in records.unblocked[leases[0].line["key"]] if action != "retry" and told >= dead),
               default=NEVER)


def check_keys(audit, records, jobs, statuses, max_attempts):
    of_key = collections.defaultdict(list)
    for job in sorted(jobs):
        line = jobs[job][0].line
        of_key[line["queue"], line["key"]].append(job)
    early, together, pairs, timed = [], [], 0, 0
    for (queue, key), ids in of_key.items():
        for first, second in zip(ids, ids[1:]):
            pairs += 1
            last, earliest = jobs[first][-1], jobs[second][0]
            if last.token > earliest.token:
                early.append((queue, key, first, last.token, second, earliest.token))
            finished = finish(jobs[first], statuses.get(first), records, max_attempts)
            if finished is None:
                continue
            timed += 1
            told = min(lease.told for lease in jobs[second])
            if told < finished:
                together.append((queue, key, first, finished, second, told))
    audit.rule("order", pairs, early)
    audit.rule("together", timed, together)
    audit.say(f"{pairs - timed} of {pairs} times it is not known when the earlier job died")


def check_followers(audit, records, jobs, statuses, max_attempts):
    handed_out, looked_at = [], 0
    deaths = collections.defaultdict(list)
    for job, leases in jobs.items():
        line = leases[0].line
        dead = death(leases, max_attempts) if line["queue"] == "dead" and statuses.get(job) == "dead_letter" else None
        if dead is not None:
            deaths[line["key"]].append((job, dead))
    for job, leases in jobs.items():
        line = leases[0].line
        if line["queue"] != "dead" or job not in records.enqueued:
            continue
        for earlier, dead in deaths[line["key"]]:
            looked_at += earlier < job
            if earlier < job and records.enqueued[job]["told"] < dead:
                handed_out.append((line["key"], earlier, dead, job, records.enqueued[job]["told"]))
    audit.rule("followers", looked_at, handed_out)


def check_ends(audit, records, jobs, statuses, effects):
    wrong = [(job, token) for job, token in effects.items()
             if statuses.get(job) != "completed" or token not in [lease.token for lease in jobs.get(job, []) if lease.completed_at() < NEVER]]
    wrong += [job for job, status in statuses.items() if status == "completed" and job not in effects]
    audit.rule("effect", len(effects), wrong)
    audit.rule("finished", len(records.enqueued),
               [(job, statuses.get(job)) for job, line in records.enqueued.items()
                if statuses.get(job) not in (["completed"] if line["queue"] == "plain" else ["completed", "dead_letter"])])


def judge(audit, lines, statuses, effects, max_attempts):
    records = Records(lines)
    jobs = records.of_jobs()
    check_leases(audit, records, jobs)
    check_decided(audit, records)
    check_owners(audit, records)
    check_tokens(audit, records)
    check_keys(audit, records, jobs, statuses, max_attempts)
    check_followers(audit, records, jobs, statuses, max_attempts)
    check_ends(audit, records, jobs, statuses, effects)


def plant(name, lines, statuses, effects, max_attempts):
    """Tells one lie. The rule that has found it; None: it did not."""
    copies = [dict(line) for line in lines]
    rule = LIES[name](copies)
    audit = Audit(say=lambda text: None)
    judge(audit, copies, statuses, effects, max_attempts)
    found = rule in audit.broken
    print(f"{'found' if found else 'missed'}: {name}")
    return rule if found else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--max-attempts", type=int, required=True, help="of queues hold and dead")
    parser.add_argument("journals", nargs="+")
    options = parser.parse_args()
    lines = read(options.journals)
    with psycopg.connect(options.dsn) as connection:
        statuses = dict(connection.execute("SELECT id, status FROM durable_work.inbox").fetchall())
        effects = dict(connection.execute("SELECT job_id, token FROM done").fetchall())
    audit = Audit()
    judge(audit, lines, statuses, effects, options.max_attempts)
    found = {plant(name, lines, statuses, effects, options.max_attempts) for name in LIES}
    for name in RULES.keys() - found:
        print(f"missed: no lie about this was found: {RULES[name]}")
    sys.exit(0 if found == RULES.keys() and not audit.broken else 1)


if __name__ == "__main__":
    main()
