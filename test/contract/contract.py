#!/usr/bin/python3
"""Calls every function and procedure of the schema with good and bad arguments in every kind of transaction.

    contract.py --standby-host DIRECTORY --expected DIRECTORY --results DIRECTORY [--only FUNCTION]

The PG variables name a primary that preloads durable_work; the standby follows it. The functions come from the
catalog, what they are given from values.py, the state they find from fixture.sql.

Each outcome (class of the value, or SQLSTATE) becomes a line of RESULTS/FUNCTION.txt, which is compared with the file
of that name in EXPECTED. Without any expectation it is checked that
  - no call ends with an internal error, a lost connection or a cancelled statement,
  - our own errors have a DETAIL or a HINT, or name the argument that is refused,
  - a failed call, and one that was undone or not allowed to write, leaves no row, no lease and no figure changed,
  - volatile functions are parallel unsafe.
"""

import argparse
import collections
import difflib
import json
import pathlib
import sys
import time

import contexts
import routines
from connection import Connection

DATABASE = "contract"
HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
APPEND_ONLY = "^(job|outcome)_[0-7]$|^parked_outcome$"


class State:
    """What calls may change: `stored` in tables, `held` in shared memory."""

    # The rest belongs to queues that were dropped, and goes when the housekeeper comes to it.
    KEPT = {
        "parked": " WHERE topic IN (SELECT id FROM durable_work.topic)",
        "parked_outcome": """ WHERE EXISTS (SELECT FROM durable_work.outcome_members(first_id, last_id, body) AS member
            JOIN durable_work.parked AS job ON job.id = member.id JOIN durable_work.topic ON topic.id = job.topic)""",
    }

    def __init__(self, connection):
        self.connection = connection
        tables = connection.rows(f"""
            SELECT relname, relname ~ '{APPEND_ONLY}' FROM pg_class
            WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'r' ORDER BY relname""")
        stored = ", ".join(
            f"'{name}', (SELECT ({'count(*)' if counted else 'count(*) || coalesce(sum(hashtext(row::text)), 0)::text'})::text"
            f" FROM durable_work.{name} AS row{self.KEPT.get(name, '')})" for name, counted in tables)
        held = """(SELECT coalesce(json_agg(json_build_array(job_id, lease_token, worker) ORDER BY job_id), '[]')
                   FROM durable_work.live_leases())"""
        if connection.value("SELECT to_regprocedure('durable_work.explain_waiting(text)') IS NOT NULL"):
            held = f"""json_build_array({held}, (SELECT json_agg(json_build_array(queue.name, reason, jobs) ORDER BY queue.name, reason)
                       FROM durable_work.queue CROSS JOIN LATERAL (
                           -- How long ago the last claim was is no matter here.
                           SELECT replace(reason, 'no worker asks', 'workers are busy') AS reason, jobs
                           FROM durable_work.explain_waiting(queue.name)) AS waiting))"""
        self.stored_query = f"SELECT json_object(ARRAY[{stored}])"
        self.held_query = f"SELECT {held}"

    def look(self):
        return self.connection.value(self.stored_query), self.connection.value(self.held_query)


def worked(outcome):
    return outcome.startswith("ok") or " row" in outcome


def rules(names, found):
    """{context: (what, outcome, exceptions)} for contexts that need no line for each case: there everything ends alike, or
    whatever is accepted does, and the rest fails as it does in the first context. Exceptions are places in `found`."""
    said = {}
    for name in names:
        ends = [(place, each[names[0]], each[name]) for place, (_, each) in enumerate(found)]
        common = collections.Counter(there for *_, there in ends).most_common(1)[0][0]
        offers = [("whatever is given", common, [place for place, _, there in ends if there != common])]
        accepted = collections.Counter(there for _, plain, there in ends if worked(plain))
        if accepted and name != names[0]:
            end = accepted.most_common(1)[0][0]
            offers.append(("whatever is accepted", end,
                           [place for place, plain, there in ends if there != (end if worked(plain) else plain)]))
        best = min(offers, key=lambda offer: len(offer[2]))
        differences = sum(plain != there for _, plain, there in ends)
        if len(best[2]) <= len(found) / 5 and len(best[2]) < differences and len(found) > 1:
            said[name] = best
    return said


def outcome_lines(names, found):
    """The rules, then one line for each outcome of each case that they do not tell."""
    if not found:
        return []
    said = rules(names, found)
    lines = [f"- | {what} | {', '.join(name for name in names if said.get(name, ())[:2] == (what, outcome))} | {outcome}"
             for what, outcome in dict.fromkeys(rule[:2] for rule in said.values())]
    for place, (case, outcomes) in enumerate(found):
        untold = [name for name in names if name not in said]
        common = collections.Counter(outcomes[name] for name in untold).most_common(1)[0][0] if untold else None
        named = [name for name in names if outcomes[name] != common and (name not in said or place in said[name][2])]
        named += [name for name in names if outcomes[name] == common and name in said and place in said[name][2]]
        for outcome in dict.fromkeys(outcomes[name] for name in named):
            where = ", ".join(name for name in named if outcomes[name] == outcome)
            lines.append(f"{case.argument or '-'} | {case.value or '-'} | {where} | {outcome}")
        if common:
            lines.append(f"{case.argument or '-'} | {case.value or '-'} | otherwise | {common}")
    return lines


class Run:
    def __init__(self, options):
        self.options = options
        self.complaints = collections.defaultdict(list)
        self.calls = 0
        self.own_files = {path.name for path in (TOP / "src").rglob("*") if path.suffix in (".cpp", ".hpp", ".c")}

    def prepare(self):
        main = Connection("postgres")
        main.rows(f"DROP DATABASE IF EXISTS {DATABASE}")
        main.rows(f"CREATE DATABASE {DATABASE}")
        self.desk = Connection(DATABASE)
        self.desk.rows("SET client_min_messages = warning")
        self.desk.rows("CREATE EXTENSION durable_work")
        self.desk.rows((HERE / "fixture.sql").read_text())
        self.state = State(self.desk)
        self.routines = [each for each in routines.read(self.desk) if self.options.only in (None, each.name)]
        self.wait_until(self.desk, "SELECT count(*) > 0 FROM durable_work.epoch")
        self.rebuild()
        self.major = int(self.desk.value("SHOW server_version_num")) // 10000
        self.catch_up()
        self.contexts, self.standby = contexts.make(DATABASE, self.major, self.options.standby_host)

    @staticmethod
    def wait_until(connection, query):
        end = time.monotonic() + 60
        while not connection.value(query):
            if time.monotonic() > end:
                raise RuntimeError(f"not true in time: {query}")
            time.sleep(0.01)

    def catch_up(self):
        position = self.desk.value("SELECT pg_current_wal_insert_lsn()")
        replica = Connection("postgres", host=self.options.standby_host)
        self.wait_until(replica, f"SELECT pg_last_wal_replay_lsn() >= '{position}'")

    def rebuild(self):
        self.facts = self.desk.value("CALL contract.rebuild()")
        self.before = self.state.look()

    def complain(self, routine, case, context, text):
        where = f"{routine.label} {case.argument} {case.value} [{context.name}]"
        self.complaints[routine.name].append(f"{where}: {text}")

    def check_error(self, routine, case, context, answer):
        told = f"{answer.state} {answer.message} ({answer.file})"
        if answer.state in ("XX000", "XX001", "XX002", "57014"):
            self.complain(routine, case, context, f"must not happen: {told}")
        named = any(each.name.removesuffix("s") in answer.message for each in routine.arguments)
        if answer.file in self.own_files and not (answer.detail or answer.hint or named):
            self.complain(routine, case, context, f"says too little: {told}")

    def check_state(self, routine, case, context, worked):
        """Compares with the state before the call and makes the fixture anew where something changed."""
        stored, held = self.state.look()
        changed = (stored, held) != self.before
        if changed and not worked:
            self.complain(routine, case, context, f"failed and changed something: {self.change(stored, held)}")
        elif context.undone and stored != self.before[0]:
            self.complain(routine, case, context, f"left something: {self.change(stored, held)}")
        # A claim that was rolled back leaves no row and no lease, but an attempt.
        if changed or (worked and context.undone and routine.volatility == "volatile"):
            self.rebuild()

    def change(self, stored, held):
        changed = {table: f"{self.before[0][table]} -> {stored[table]}" for table in stored if stored[table] != self.before[0][table]}
        if held != self.before[1]:
            changed["held"] = f"{self.before[1]} -> {held}"
        return json.dumps(changed)

    def attempt(self, routine, case, context):
        statement = routines.filled(routine.call(case.given), self.facts)
        self.calls += 1
        answer, outcome, worked = context.attempt(routine, statement)
        if answer.failed:
            self.check_error(routine, case, context, answer)
        if context.connection.in_transaction():
            self.complain(routine, case, context, "left a transaction open")
            context.connection.ask("ROLLBACK")
        if context is not self.standby:
            self.check_state(routine, case, context, worked)
        return outcome

    def try_routine(self, routine, contexts_now, outcomes):
        if routine.volatility == "volatile" and not routine.is_procedure and not routine.is_trigger and routine.parallel != "unsafe":
            self.complaints[routine.name].append(f"{routine.label} is volatile and parallel {routine.parallel}")
        if self.standby not in contexts_now:
            self.rebuild()
        for place, case in enumerate(routine.cases()):
            for context in contexts_now:
                known = outcomes.setdefault((routine, place), (case, {}))[1]
                known[context.name] = self.attempt(routine, case, context)
        if self.major >= 17:
            for case, huge in routine.infinite_intervals():
                expected = next(found for (other, _), (like, found) in outcomes.items()
                                if other is routine and (like.argument, like.value) == (case.argument, huge))
                for context in contexts_now:
                    outcome = self.attempt(routine, case, context)
                    if outcome != expected[context.name]:
                        self.complain(routine, case, context, f"{outcome}, but {huge} gives {expected[context.name]}")

    def try_all(self):
        outcomes = {}
        for routine in self.routines:
            try:
                self.try_routine(routine, self.contexts, outcomes)
            except routines.Undeclared as missing:
                self.complaints[routine.name].append(str(missing))
        self.rebuild()
        self.catch_up()
        for routine in self.routines:
            try:
                self.try_routine(routine, [self.standby], outcomes)
            except routines.Undeclared:
                pass
        return outcomes

    def write(self, outcomes):
        files = collections.defaultdict(list)
        names = [context.name for context in self.contexts + [self.standby]]
        for routine in self.routines:
            found = [each for (other, _), each in outcomes.items() if other is routine]
            lines = files[routine.name]
            lines += ([""] if lines else []) + [f"# {routine.label}: {routine.markings}"]
            lines += outcome_lines(names, found)
        for name, lines in files.items():
            (self.options.results / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def compare(self):
        """Complains about each file that is not as expected."""
        made = {path.name for path in self.options.results.glob("*.txt")}
        known = {path.name for path in self.options.expected.glob("*.txt")}
        for name in sorted(made | (known if self.options.only is None else set())):
            expected, got = self.options.expected / name, self.options.results / name
            difference = list(difflib.unified_diff(
                expected.read_text().splitlines() if expected.exists() else [], got.read_text().splitlines() if got.exists() else [],
                f"test/contract/expected/{name}", "what happened", lineterm="", n=0))
            if difference:
                self.complaints[name.removesuffix(".txt")] += difference


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--standby-host", required=True)
    parser.add_argument("--expected", required=True, type=pathlib.Path)
    parser.add_argument("--results", required=True, type=pathlib.Path)
    parser.add_argument("--only")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    for left in options.results.glob("*.txt"):
        left.unlink()
    run = Run(options)
    run.prepare()
    run.write(run.try_all())
    run.compare()
    for name, complaints in sorted(run.complaints.items()):
        print(f"--- {name}: {len(complaints)}")
        print("\n".join(complaints[:200]))
    functions = {each.name for each in run.routines}
    print(f"{run.calls} calls of {len(functions)} functions; not as they should be: {len(run.complaints)}")
    print(f"passed {len(functions - set(run.complaints))} failed {len(run.complaints)}")
    return 1 if run.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
