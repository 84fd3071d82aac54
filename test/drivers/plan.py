#!/usr/bin/python3
"""Makes the database and the list of calls that every driver makes.

    plan.py DATABASE >plan.json

Each function is called once with arguments that work and once with one that is refused; out of the catalog, as in the
contract test. A call is {"name", "kind", "routine", "arguments": [{"name", "type", "value"}], "expect"}; values are
text, null or lists of text, and words between @ stand for facts of the fixture. "expect" is "ok" or the SQLSTATE
that the same call has with plain literals.
"""

import json
import pathlib
import re
import sys

CONTRACT = pathlib.Path(__file__).resolve().parent.parent / "contract"
sys.path.insert(0, str(CONTRACT))

import routines  # noqa: E402
from connection import Connection  # noqa: E402

# Called by views, triggers and the install script; nobody calls them over a driver.
INTERNAL = {"attach_database", "job_state", "live_leases", "log_slots", "may", "outcome_members"}
# What is refused, where a wrong queue, job or token is not.
REFUSED = {
    "bucket": {"buckets": "0"},
    "create_queue": {"lease": "'-1 s'"},
    "mark_handled": {"handler": "''"},
    "fence": {"lease_token": "0"},
    "try_complete": {"lease_token": "0"},
}
WRONG = [("queue", "'nowhere'"), ("queues", "'{nowhere}'"), ("job_ids", "'{@held@,@held@}'"), ("lease_token", "1"),
         ("job_id", "9223372036854775807"), ("worker", "''")]


def refused(routine):
    if routine.name in REFUSED:
        return REFUSED[routine.name]
    names = {argument.name for argument in routine.arguments}
    return next(({name: literal} for name, literal in WRONG if name in names), None)


def native(connection, argument, literal):
    """The value of a literal as a driver is given it; facts stay words."""
    if "@" in literal and "@." not in literal:
        words = re.findall(r"@\w+@", literal)
        return words if argument.type.endswith("[]") else words[0]
    if argument.type.endswith("[]"):
        return connection.value(f"SELECT to_json(({literal})::{argument.type}::text[])")
    return connection.value(f"SELECT ({literal})::{argument.type}::text")


def call(connection, routine, given, name):
    by_name = {argument.name: argument for argument in routine.arguments}
    facts = connection.value("CALL contract.rebuild()")
    answer = connection.ask(routines.filled(routine.call(given), facts))
    arguments = [{"name": each, "type": by_name[each].type, "value": native(connection, by_name[each], literal)}
                 for each, literal in given.items()]
    return {"name": f"{routine.label}, {name}", "kind": "CALL" if routine.is_procedure else "SELECT * FROM",
            "routine": f"durable_work.{routine.name}", "arguments": arguments, "expect": answer.state or "ok"}


def main():
    database = sys.argv[1]
    main_connection = Connection("postgres")
    main_connection.rows(f"CREATE DATABASE {database}")
    connection = Connection(database)
    connection.rows("SET client_min_messages = warning")
    connection.rows("CREATE EXTENSION durable_work")
    connection.rows((CONTRACT / "fixture.sql").read_text())
    calls = []
    for routine in routines.read(connection):
        if routine.is_trigger or routine.name in INTERNAL:
            continue
        cases = {case.value: case.given for case in routine.cases() if not case.argument}
        good = call(connection, routine, cases.get("all arguments", next(iter(cases.values()))), "every argument")
        calls.append(good)
        if good["expect"] != "ok":
            raise SystemExit(f"{routine.label} does not work with the values of test/contract/values.py: {good['expect']}")
        wrong = refused(routine)
        if wrong:
            calls.append(call(connection, routine, {**routine.baseline(), **wrong}, "something wrong"))
            if calls[-1]["expect"] == "ok":
                raise SystemExit(f"{routine.label} accepts {wrong}; say in REFUSED of test/drivers/plan.py what it refuses")
    json.dump(calls, sys.stdout, indent=1)


main()
