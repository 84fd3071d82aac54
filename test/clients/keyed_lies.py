"""Faults for copies of what keyed_audit.py has read. Each function puts in one, and returns the rule that must find it."""

import collections


def claims_of(lines):
    jobs = collections.defaultdict(list)
    for line in lines:
        if line["did"] == "claimed":
            jobs[line["job"]].append(line)
    return jobs


def two_of_a_key(lines):
    """Claims of two jobs of queue plain that follow each other, each of them claimed once and completed once, in time, and the
    line of the first completion; from before anybody was drained."""
    first_trouble = min(line["asked"] for line in lines if line["did"] in ("drained", "crashed"))
    accepted = {line["call"] for line in lines if line["did"] == "decided" and line["answer"] == "completed"}
    completing = collections.defaultdict(list)
    for line in lines:
        if line["did"] == "deciding" and line["call"] in accepted:
            completing[line["job"], line["token"]].append(line)
    of_key = collections.defaultdict(list)
    for job, claims in sorted(claims_of(lines).items()):
        if claims[0]["queue"] == "plain":
            of_key[claims[0]["key"]].append(claims)
    for jobs in of_key.values():
        for first, second in zip(jobs, jobs[1:]):
            ends = [completing[claims[0]["job"], claims[0]["token"]] for claims in (first, second)]
            if ([len(first), len(second)] + [len(end) for end in ends] == [1, 1, 1, 1] and second[0]["told"] < first_trouble
                    and first[0]["told"] < ends[0][0]["at"] - 10 and ends[0][0]["at"] < first[0]["until"]):
                return first[0], second[0], ends[0][0]
    raise AssertionError("there is no pair to lie about")


def lie_stolen(lines):
    """A job was handed to another worker at the moment in which the first one got it."""
    first, _, completing = two_of_a_key(lines)
    lines.append(first | {"token": first["token"] + 1, "worker": "thief", "told": completing["at"] - 1})
    return "same job"


def lie_stale(lines):
    """The lease had run out, and somebody else had got the job, when the completion was asked for."""
    first, _, completing = two_of_a_key(lines)
    first["until"] = completing["at"] - 3
    lines.append(first | {"token": first["token"] + 1, "worker": "thief", "told": completing["at"] - 2})
    return "accepted"


def lie_twice(lines):
    """A completed job comes again."""
    first, second, _ = two_of_a_key(lines)
    lines.append(first | {"token": second["token"] + 1, "asked": second["asked"] + 1, "told": second["told"] + 1})
    return "final"


def lie_token(lines):
    """A token is given again, later."""
    first, second, _ = two_of_a_key(lines)
    second["token"] = first["token"]
    return "tokens"


def lie_order(lines):
    """The second of two jobs of a key was handed out first."""
    jobs = [line["job"] for line in two_of_a_key(lines)[:2]]
    for line in lines:
        if line.get("job") in jobs:
            line["job"] = sum(jobs) - line["job"]
    return "order"


def lie_together(lines):
    """The second of two jobs of a key was handed out while the first one was in work."""
    first, second, completing = two_of_a_key(lines)
    second["told"] = completing["at"] - 1
    return "together"


def lie_drained(lines):
    """No drain took back what a worker held, but somebody else got it."""
    lines[:] = [line for line in lines if line["did"] != "drained"]
    return "same job"


def lie_crashed(lines):
    """The server never crashed, but gave away what others held."""
    lines[:] = [line for line in lines if line["did"] != "crashed"]
    return "same job"


def lie_again(lines):
    """A lease that was given back was good for a completion, too."""
    accepted = {line["call"]: line for line in lines if line["did"] == "decided" and line["answer"] == "released"}
    released = next(line for line in lines if line["did"] == "deciding" and line["call"] in accepted)
    at = accepted[released["call"]]["at"]
    lines.append(released | {"call": "lie", "what": "complete", "at": at + 1})
    lines.append({"did": "decided", "call": "lie", "answer": "completed", "at": at + 2})
    return "decided"


def lie_given(lines):
    """One that drains goes on claiming."""
    first = two_of_a_key(lines)[0]
    lines.append({"did": "drained", "worker": first["worker"], "instance": first["instance"], "deadline": 10_000_000,
                  "asked": first["asked"] - 2, "told": first["asked"] - 1})
    return "given"


def lie_owned(lines):
    """Somebody got a job of another's key."""
    owners = next(line for line in lines if line["did"] == "owners")
    for line in lines:
        if line["did"] == "claimed" and line["queue"] == owners["queue"] and owners["asked"] < line["asked"] and line["told"] < owners["told"]:
            line["worker"] = "thief"
            return "owned"
    raise AssertionError("there is nobody to lie about")


def lie_unblocked(lines):
    """Nobody let a blocked key go on, but its next job was handed out."""
    lines[:] = [line for line in lines if line["did"] != "unblocking"]
    return "together"


def lie_followers(lines):
    """Jobs that came after the death of one of their key had waited behind it."""
    for line in lines:
        if line["did"] == "enqueued":
            line["told"] = 0
    return "followers"


def lie_effect(lines):
    """A job has its effect, but who got it only gave it back."""
    two_of_a_key(lines)[2]["what"] = "release"
    return "effect"


def lie_lost(lines):
    """There was one more job, of which nothing was heard again."""
    enqueued = next(line for line in lines if line["did"] == "enqueued")
    enqueued["jobs"] = enqueued["jobs"] + [max(max(line["jobs"]) for line in lines if line["did"] == "enqueued") + 1]
    return "finished"


LIES = {name[4:]: lie for name, lie in globals().items() if name.startswith("lie_")}
