"""The functions and procedures of the schema, out of the catalog, and the calls that are tried on each."""

import collections
import re

import values

Argument = collections.namedtuple("Argument", "name type required")
# `argument` and `value` are what the expectation calls it; `given` maps arguments to literals.
Case = collections.namedtuple("Case", "argument value given")

CATALOG = """
SELECT proc.proname, proc.prokind, proc.provolatile, proc.proparallel, proc.proretset, proc.prorettype = 'trigger'::regtype,
       pg_get_function_identity_arguments(proc.oid), proc.pronargdefaults,
       coalesce((SELECT json_agg(json_build_array(proc.proargnames[n], format_type(argument, NULL)) ORDER BY n)
                 FROM unnest(coalesce(proc.proallargtypes, proc.proargtypes::oid[])) WITH ORDINALITY AS given (argument, n)
                 WHERE coalesce(proc.proargmodes[n], 'i') IN ('i', 'b', 'v')), '[]')
FROM pg_proc AS proc
WHERE proc.pronamespace = 'durable_work'::regnamespace
ORDER BY proc.proname COLLATE "C", pg_get_function_identity_arguments(proc.oid) COLLATE "C"
"""


class Undeclared(Exception):
    """Something new that values.py has to know; the text says what."""


class Routine:
    def __init__(self, row):
        (self.name, kind, volatility, parallel, self.returns_set, self.is_trigger, self.arguments_text, defaults, arguments) = row
        self.is_procedure = kind == "p"
        self.volatility = {"i": "immutable", "s": "stable", "v": "volatile"}[volatility]
        self.parallel = {"s": "safe", "r": "restricted", "u": "unsafe"}[parallel]
        required = len(arguments) - defaults
        self.arguments = [Argument(name, kind_of, place < required) for place, (name, kind_of) in enumerate(arguments)]
        self.label = self.name

    @property
    def markings(self):
        if self.is_procedure:
            return "procedure"
        return f"{self.volatility}, parallel {self.parallel}"

    def call(self, given):
        arguments = ", ".join(f"{name} => {literal}" for name, literal in given.items())
        how = "CALL" if self.is_procedure else "SELECT" if self.is_trigger else "SELECT * FROM"
        return f"{how} durable_work.{self.name}({arguments})"

    def good(self, argument):
        literal = values.GOOD_FOR.get((self.name, argument.name), values.GOOD.get(argument.name))
        if literal is None:
            raise Undeclared(f"{self.name}: declare a value that works for argument {argument.name} ({argument.type}) in GOOD, or "
                             "GOOD_FOR, of test/contract/values.py")
        return literal

    def bad(self, argument):
        """[(name of the value, literal)] for one argument."""
        tried = [("NULL", "NULL")]
        if argument.type.endswith("[]"):
            tried += self.bad_arrays(argument)
        elif argument.type in values.BY_TYPE:
            tried += values.BY_TYPE[argument.type]
        else:
            raise Undeclared(f"{self.name}: declare values of type {argument.type} in BY_TYPE of test/contract/values.py")
        tried += [(f"'{value}'", f"'{value}'") for value in values.CLOSED.get(argument.name, [])]
        return tried + values.BY_NAME.get((argument.name, argument.type), [])

    def bad_arrays(self, argument):
        element = argument.type[:-2]
        if element not in values.BY_TYPE:
            raise Undeclared(f"{self.name}: declare values of type {element} in BY_TYPE of test/contract/values.py")
        good = f"({self.good(argument)})::{argument.type}"
        tried = [("'{}'", "'{}'"), ("'{NULL}'", "'{NULL}'")]
        tried += [(f"{{{name}}}", f"ARRAY[{literal}]::{argument.type}") for name, literal in values.BY_TYPE[element]]
        return tried + [
            ("one more", f"{good} || {good}"),
            ("two dimensions", f"ARRAY[{good}, {good}]"),
            ("counted from 5", f"array_fill(({good})[1], '{{1}}', '{{5}}')"),
            (f"{values.HUGE_ARRAY} elements", f"array_fill(({good})[1], '{{{values.HUGE_ARRAY}}}')"),
        ]

    def baseline(self):
        given = {each.name: self.good(each) for each in self.arguments if each.required}
        return {**given, **values.ALWAYS.get(self.name, {})}

    def cases(self):
        baseline = self.baseline()
        cases = [Case("", "required arguments" if self.arguments else "", baseline)]
        names = {each.name for each in self.arguments}
        if len(names) > len(baseline):
            left_out = {second for first, second in values.EXCLUSIVE if first in names and second in names}
            cases.append(Case("", "all arguments", {each.name: self.good(each) for each in self.arguments if each.name not in left_out}))
        for argument in self.arguments:
            for name, literal in self.bad(argument):
                cases.append(Case(argument.name, name, {**baseline, argument.name: literal}))
        for name, together in values.TOGETHER:
            if names.issuperset(together):
                cases.append(Case("", name, {**baseline, **together}))
        return cases

    def infinite_intervals(self):
        """[(infinite case, name of the value whose outcome it must share)]"""
        baseline = self.baseline()
        return [(Case(argument.name, infinite, {**baseline, argument.name: infinite}), huge)
                for argument in self.arguments if argument.type == "interval" for infinite, huge in values.INFINITE_INTERVALS]


def read(connection):
    routines = [Routine(row) for row in connection.rows(CATALOG)]
    same_name = collections.defaultdict(list)
    for routine in routines:
        same_name[routine.name].append(routine)
    for overloads in same_name.values():
        if len(overloads) > 1:
            common = set.intersection(*({each.name for each in routine.arguments} for routine in overloads))
            for routine in overloads:
                own = [each.name for each in routine.arguments if each.name not in common]
                routine.label = f"{routine.name}({', '.join(own)})"
    return routines


def filled(text, facts):
    """Puts the jobs and tokens of the fixture in the place of their words."""
    return re.sub(r"@(\w+)@", lambda match: str(facts[match.group(1)]), text)
