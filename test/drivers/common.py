"""What the Python programs share: reading the plan, text of arguments, and counting."""

import json
import re
import sys


def read_plan():
    with open(sys.argv[1]) as plan:
        return json.load(plan)


def filled(value, facts):
    if value is None:
        return None
    if isinstance(value, list):
        return [filled(each, facts) for each in value]
    return re.sub(r"@(\w+)@", lambda match: facts.get(match.group(1), match.group()), value)


def array_text(values):
    return "{" + ",".join("NULL" if each is None else '"' + re.sub(r'(["\\])', r"\\\1", each) + '"' for each in values) + "}"


class Score:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, got, expected):
        if got == expected:
            self.passed += 1
        else:
            self.failed += 1
            print(f"{what}: {got!r}, expected {expected!r}")

    def end(self):
        print(f"passed {self.passed} failed {self.failed}")
        sys.exit(self.failed > 0)
