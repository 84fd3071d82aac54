"""The mutations of test/mutations, and the table of what catches them; see README.md there.

Mutation.plant() is the one place that changes text: exactly as said, exactly once, or not at all.
"""
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
FILES = TOP / "test/mutations"
TABLE = FILES / "README.md"
BEGIN = "<!-- what ./scripts/mutate --record found -->"
END = "<!-- end -->"
COLUMNS = "| mutation | promise | what is changed | caught by |\n|---|---|---|---|\n"


class Wrong(Exception):
    """Something that whoever wrote a mutation, or changed the code under it, has to mend."""


class Mutation:
    def __init__(self, where):
        self.where = where
        self.name = self.breaks = self.what = ""
        self.tries = []  # (part, test) on a server
        self.hangs = False
        self.hunks = []  # [path, old, new]

    def plant(self, top):
        """{path: text} as it is with the fault."""
        changed = {}
        for path, old, new in self.hunks:
            file = top / path
            if path not in changed and not file.is_file():
                raise Wrong(f"{self.where}: {self.name}: there is no file {path}")
            text = changed.get(path) or file.read_text()
            count = ("\n" + text).count("\n" + old)
            if count != 1:
                raise Wrong(f"{self.where}: {self.name}: what it changes is {count} times in {path}, not once:\n{old}")
            changed[path] = ("\n" + text).replace("\n" + old, "\n" + new, 1)[1:]
            if new == old:
                raise Wrong(f"{self.where}: {self.name}: it changes nothing")
        return changed

    def paths(self):
        return sorted({path for path, _, _ in self.hunks})

    def is_in_core(self):
        return all(path.startswith("src/core/") for path in self.paths())


# --- reading ---------------------------------------------------------------------------------------


def take_line(mutation, line):
    """A line before the first hunk."""
    key, colon, value = line.partition(":")
    value = value.strip()
    if key == "name":
        mutation.name = value
    elif key == "breaks":
        mutation.breaks = value
    elif key == "what":
        mutation.what = value
    elif key == "on a server":
        mutation.tries = [tuple(each.split()) for each in value.split(",")]
    elif key == "hangs":
        mutation.hangs = value == "yes"
    elif key == "file":
        mutation.hunks.append([value, "", ""])
    else:
        raise Wrong(f"{mutation.where}: '{line}' is not understood")
    if not colon or not value:
        raise Wrong(f"{mutation.where}: '{line}' says nothing")


def read_mutation(where, lines):
    mutation = Mutation(where)
    in_hunk = False
    for line in lines:
        if line.startswith("@@") or line.startswith("file:"):
            if line.startswith("file:"):
                take_line(mutation, line)
            elif mutation.hunks and mutation.hunks[-1][1]:
                mutation.hunks.append([mutation.hunks[-1][0], "", ""])
            in_hunk = line.startswith("@@")
        elif not in_hunk:
            take_line(mutation, line)
        elif line[:1] in (" ", "-", "+", ""):
            hunk = mutation.hunks[-1]
            if line[:1] != "+":
                hunk[1] += line[1:] + "\n"
            if line[:1] != "-":
                hunk[2] += line[1:] + "\n"
        else:
            raise Wrong(f"{where}: '{line}' is no line of a change")
    mutation.hunks = [hunk for hunk in mutation.hunks if hunk[1]]
    for key in ("name", "breaks", "what", "hunks"):
        if not getattr(mutation, key):
            raise Wrong(f"{where}: mutation '{mutation.name}' has no {key}")
    return mutation


def mutations_of(file):
    """A mutation begins with its line `name:`; before the first one there are comments."""
    found = []
    lines = []
    for number, line in enumerate(file.read_text().split("\n"), 1):
        if line.startswith("name:"):
            lines = []
            found.append((f"{file.relative_to(TOP)}:{number}", lines))
        lines.append(line)
    for _, lines in found:
        while lines and not lines[-1]:
            lines.pop()
    return [read_mutation(where, lines) for where, lines in found]


def all_mutations():
    return [mutation for file in sorted(FILES.glob("*.txt")) for mutation in mutations_of(file)]


# --- the table -------------------------------------------------------------------------------------


def cells_of(mutation, caught):
    return f"| `{mutation.name}` | {mutation.breaks} | {mutation.what} | {caught} |\n"


def read_table():
    """{name: (row, caught by)}"""
    text = TABLE.read_text()
    rows = text[text.index(BEGIN) : text.index(END)].split("\n") if BEGIN in text else []
    known = {}
    for row in rows:
        match = re.fullmatch(r"\| `(\w+)` \|.*\| ([^|]*) \|", row)
        if match:
            known[match[1]] = (row + "\n", match[2])
    return known


def write_table(mutations, results):
    known = {name: caught for name, (_, caught) in read_table().items()}
    known.update(results)
    rows = "".join(cells_of(each, known[each.name]) for each in mutations if each.name in known)
    text = TABLE.read_text()
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    TABLE.write_text(f"{head}{BEGIN}\n\n{COLUMNS}{rows}\n{tail}")


# --- checking --------------------------------------------------------------------------------------


def check(mutations):
    """What is wrong with the list; nothing is built for this."""
    wrong = []
    guarantees = set(re.findall(r"^## (I\d+) ", (TOP / "docs/guarantees.md").read_text(), re.M))
    names = [each.name for each in mutations]
    known = read_table()
    for each in mutations:
        try:
            each.plant(TOP)
        except Wrong as error:
            wrong.append(str(error))
        for promise in each.breaks.split(", "):
            if promise not in guarantees and not (TOP / "docs" / promise).is_file():
                wrong.append(f"{each.where}: {each.name}: {promise} is neither a guarantee nor a page of docs")
        if names.count(each.name) > 1:
            wrong.append(f"{each.where}: there are two mutations {each.name}")
        if not each.is_in_core() and not each.tries:
            wrong.append(f"{each.where}: {each.name}: it is not of the core, so 'on a server:' must say who looks")
        if each.name not in known:
            continue
        row, caught = known[each.name]
        if row != cells_of(each, caught):
            wrong.append(f"{each.where}: {each.name}: run ./scripts/mutate --record {each.name}")
        elif caught.startswith("**"):
            wrong.append(f"{each.where}: {each.name}: nothing catches it")
    wrong += [f"{TABLE.relative_to(TOP)}: there is no mutation {name}" for name in known if name not in names]
    return wrong
