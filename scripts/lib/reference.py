"""Renders docs/reference.md: catalog as JSON on standard input, Markdown on standard output. See scripts/reference.

A function's COMMENT is its documentation: text, then lines "argument: meaning" (several names with "," or "or"). A
sentence that begins with "Raises" starts the part about errors.
"""

import json
import pathlib
import re
import sys

# What to do about each SQLSTATE; what it means stands in errors.h.
ADVICE = {
    "DW001": "Roll back, forget the job, claim again. Do not retry the call. DETAIL says what happened to the lease.",
    "DW002": "Check the spelling; make the queue with `create_queue`. The role may have no right on it: see [rights](guide/rights.md). Of a job: it was never committed, or its queue was dropped.",
    "DW003": "Use `alter_queue`. DETAIL names the options that differ.",
    "DW004": "Two different things carry one key. Choose keys that name the effect.",
    "DW005": "Slow down and try again.",
    "DW006": "\"Being decided\": another transaction that is still open has decided the job; wait for its end and call again. "
             "Otherwise the message says which state is in the way.",
    "DW007": "Add `shared_preload_libraries = 'durable_work'` to `postgresql.conf` and restart. When versions do not fit, DETAIL names both and "
             "HINT says what is missing: `ALTER EXTENSION durable_work UPDATE`, or the restart. Nothing was done; try again later.",
    "DW008": "Correct the definition.",
    "DW009": "Correct the workflow's code.",
}
# Codes of the server itself that a caller should expect.
STANDARD = [
    ("0A000", "`PREPARE TRANSACTION` after a durable_work call that did something", "Commit in one phase."),
    ("22004", "null where none is allowed", "The message names the argument."),
    ("22023", "bad argument", "The message names the argument and the range; nothing was stored."),
    ("23505", "the idempotency key is taken, and `on_duplicate` is error", "Treat it as the answer that the job is there."),
    ("25000", "inside a worker of a parallel query", "Do not mark functions that call durable_work as PARALLEL SAFE."),
    ("25001", "a call that sleeps, or must be a transaction of its own, inside a transaction block or under REPEATABLE READ",
     "Call it in autocommit."),
    ("25006", "read-only transaction, or a standby", "Call it on the primary, in a transaction that may write."),
    ("40001", "an idempotency key, `mark_handled` or `fence` met a newer commit than a REPEATABLE READ snapshot shows",
     "Run the transaction again."),
    ("42501", "no right to execute the function, or not the right on the queue that it takes", "`grant_queue`, see [rights](guide/rights.md)."),
    ("42704", "there is no role of that name", "Names of roles are taken as `pg_roles` has them."),
    ("53400", "more than 4,096 worker names hold leases at the same time, or too many batches with a `request_id`",
     "Use stable names, not one per job; claim larger batches."),
    ("54001", "a jsonpath nested deeper than the server's stack", "Write it shorter, or raise `max_stack_depth`."),
    ("57014", "cancelled or timed out", "As for any statement: the transaction is rolled back."),
]
INTRODUCTION = {
    "queues": "Queues",
    "producing": "Producing",
    "changing": "Changing",
    "working": "Working",
    "seeing": "Seeing",
    "the extension itself": "The extension itself",
}
INTERNAL = {"inbox_insert", "job_state", "may", "live_leases", "wake_figures", "log_slots", "outcome_members", "attach_database", "rows_arrived"}


def functions_in_order(top):
    """[(section, symbol)] as functions.def lists them."""
    section, order = "", []
    for line in (top / "include/durable_work/functions.def").read_text().splitlines():
        heading = re.match(r"/\* (.*) \*/$", line)
        function = re.match(r"DW_FUNCTION\((\w+)\)", line)
        if heading:
            section = heading.group(1)
        elif function:
            order.append((section, "durable_work_" + function.group(1)))
    return order


NEEDED = {
    "none": "none gives it: the owner of the extension grants `EXECUTE` by hand",
    "read": "`work` or `operate`",
    "see": "`work`, `operate` or `monitor`",
    "any": "any",
}


def rights(top):
    """{symbol: which right on a queue it takes}"""
    text = (top / "include/durable_work/rights.def").read_text()
    return {"durable_work_" + name: NEEDED.get(right, f"`{right}`") for name, right in re.findall(r"^DW_RIGHT\((\w+), (\w+)\)", text, re.M)}


def split_top_level(text):
    """Splits at commas outside of parentheses and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for i, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "([":
            depth += 1
        elif not quoted and char in ")]":
            depth -= 1
        elif char == "," and depth == 0 and not quoted:
            parts.append(text[start:i].strip())
            start = i + 1
    return [part for part in parts + [text[start:].strip()] if part]


def plain_type(text):
    text = re.sub(r"'((?:[^']|'')*)'::[a-z ]+(\[\])?", r"'\1'", text)
    text = re.sub(r"NULL::[a-z ]+(\[\])?", "NULL", text)
    return text.replace("timestamp with time zone", "timestamptz")


def row_type_of(routine, types):
    """The named row type that the function returns, or None."""
    return types.get(routine["result"].removeprefix("SETOF ").removeprefix("durable_work."))


def signature(routine, types):
    arguments = [plain_type(part) for part in split_top_level(routine["arguments"])]
    # What the catalog quotes needs no quotes before "=>".
    inputs = [re.sub(r'^"(\w+)" ', r"\1 ", part.removeprefix("IN ")) for part in arguments if not part.startswith("OUT ")]
    outputs = [part.removeprefix("OUT ") for part in arguments if part.startswith("OUT ")]
    result = plain_type(routine["result"])
    if outputs:
        result = "(" + ", ".join(outputs) + ")"
    elif row_type_of(routine, types):
        columns = [plain_type(column) for column in row_type_of(routine, types)["columns"]]
        if len(", ".join(columns)) > 80:
            result += "(\n    " + ",\n    ".join(columns) + "\n)"
        else:
            result += "(" + ", ".join(columns) + ")"
    elif len(result) > 80 and result.startswith("TABLE("):
        result = "TABLE(\n    " + ",\n    ".join(split_top_level(result[len("TABLE("):-1])) + "\n)"
    call = "CALL " if routine["kind"] == "p" else ""
    head = f"{call}durable_work.{routine['name']}("
    tail = ")" + (f" → {result}" if result else "")
    line = head + ", ".join(inputs) + tail
    if len(line) <= 110 and "\n" not in line:
        return line
    return head + "\n    " + ",\n    ".join(inputs) + "\n" + tail


def split_comment(routine):
    """(text paragraphs, [(arguments, meaning)], errors)"""
    names = {part.split(" ")[0].strip('"') for part in split_top_level(routine["arguments"]) if not part.startswith("OUT ")}
    columns = set(routine["argument_names"] or []) - names
    texts, arguments, errors = [], [], []
    for line in (routine["comment"] or "").split("\n"):
        # One line may document several arguments: "lease: …. worker: …."
        pieces = re.split(r"(?:^|(?<=\. )|(?<=, ))([a-z_]+(?:(?:, | or | and )[a-z_]+)*): ", line)
        pending = pieces[0]
        known = []
        for name, text in zip(pieces[1::2], pieces[2::2]):
            if set(re.split(r", | or | and ", name)) <= names:
                known.append([name, text])
            elif name in columns and not known:
                pending += f"`{name}`: {text}"
            elif known:
                known[-1][1] += f"{name}: {text}"
            else:
                pending += f"{name}: {text}"
        for place in [[None, pending]] + known:
            text, *raised = re.split(r"(?:^|(?<=[.;:] ))(?=Raises )", place[1], maxsplit=1)
            errors += [part.strip() for part in raised]
            if not text.strip():
                continue
            if place[0] is None:
                texts.append(text.strip())
            else:
                arguments.append((place[0], text.strip().rstrip(",")))
    if not texts and not arguments:
        texts, errors = errors, []
    return texts, arguments, errors


def outcomes_of(top, routine):
    """[(SQLSTATE, [arguments and situations])] that the contract test has seen of a function."""
    path = top / "test/contract/expected" / f"{routine['name']}.txt"
    names = [part.removeprefix("INOUT ").removeprefix("IN ").split(" ")[0] for part in split_top_level(routine["arguments"])
             if not part.startswith("OUT ")]
    given, contexts, ours = {}, {}, False
    for line in path.read_text().splitlines() if path.exists() else []:
        heading = re.match(r"# \w+(?:\(([^)]*)\))?: ", line)
        if heading:
            ours = set((heading.group(1) or "").split(", ")) - {""} <= set(names)
            continue
        code = re.search(r" \| ([0-9A-Z]{5})( at PREPARE TRANSACTION)?$", line)
        if not ours or not code:
            continue
        argument, value, *_, where, _ = line.split(" | ")
        what = f"`{argument}`" if argument != "-" else "" if re.match("-|required arguments|whatever is", value) else f"“{value}”"
        if code.group(2):
            contexts.setdefault(code.group(1), {})["at `PREPARE TRANSACTION`"] = None
        elif where in ("otherwise", "everywhere"):
            given.setdefault(code.group(1), {})[what] = None
        else:
            contexts.setdefault(code.group(1), {})[where] = what
    # What is refused everywhere is not told again for a context that has a line of its own.
    return [(code, [what for what in given.get(code, {}) if what]
             + [where for where, what in contexts.get(code, {}).items() if not what or what not in given.get(code, {})])
            for code in sorted(given.keys() | contexts.keys())]


def render_outcomes(top, routine, out):
    outcomes = outcomes_of(top, routine)
    if not outcomes:
        return
    shown = "; ".join(f"`{code}`" + (f" ({', '.join(when)})" if when else "") for code, when in outcomes)
    out += [f"**SQLSTATEs** seen in [every case tried](../test/contract/expected/{routine['name']}.txt): {shown}.", ""]


def check_codes(top, routines):
    known = {code for code, *_ in STANDARD} | set(ADVICE)
    for routine in routines:
        for code, _ in outcomes_of(top, routine):
            if code not in known:
                sys.exit(f"{routine['name']} raises {code}: say in STANDARD of scripts/lib/reference.py what it means and what to do")


def cell(text):
    return (text or "").replace("|", "\\|").replace("\n", " ")


def sentence(text):
    text = (text or "").strip()
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!:" else text + "."


def render_routine(top, routine, types, out):
    texts, arguments, errors = split_comment(routine)
    out += [f"### {routine['name']}", "", "```", signature(routine, types), "```", ""]
    row_type = row_type_of(routine, types)
    if row_type and row_type["comment"]:
        texts.append("Returns: " + row_type["comment"].split("\n")[0])
    for text in texts:
        out += [text, ""]
    if arguments:
        out += ["| argument | |", "|---|---|"]
        for name, meaning in arguments:
            shown = re.sub(r"[a-z_]+", lambda match: match.group() if match.group() in ("or", "and")
                           else f"`{match.group()}`", name)
            out.append(f"| {shown} | {cell(sentence(meaning))} |")
        out.append("")
    for error in errors:
        out += [f"**Errors.** {error}", ""]
    out += [f"**Right.** {sentence(rights(top)[routine['symbol']])}", ""]
    render_outcomes(top, routine, out)


def render_errors(top, out):
    header = (top / "include/durable_work/errors.h").read_text()
    source = "".join(path.read_text() for path in sorted((top / "src").rglob("*")) if path.is_file())
    out += ["## Errors", "", "Every error carries a DETAIL or HINT where there is something to add. Nothing is stored by a call that raised.", "",
            "| SQLSTATE | means | do |", "|---|---|---|"]
    for meaning, name, code in re.findall(r'/\* ([^*]*) \*/\n#define (DW_\w+) "(DW\d+)"', header):
        if re.search(rf"\b{name}\b", source):
            out.append(f"| `{code}` | {cell(sentence(meaning))} | {ADVICE[code]} |")
    for code, meaning, advice in STANDARD:
        out.append(f"| `{code}` | {sentence(meaning)} | {advice} |")
    out.append("")


def in_unit(value, unit):
    if unit != "ms":
        return value if not unit else f"{value} {unit}"
    milliseconds = int(value)
    for factor, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor} {name}"
    return f"{milliseconds} ms"


def render_settings(settings, out):
    changes = {"postmaster": "restart", "sighup": "reload", "user": "any session", "superuser": "superuser's session"}
    out += ["## Settings", "", "| setting | default | range | takes effect | |", "|---|---|---|---|---|"]
    for setting in settings:
        unit = setting["unit"]
        span = f"{in_unit(setting['min_val'], unit)} to {in_unit(setting['max_val'], unit)}" if setting["min_val"] else ""
        text = " ".join(part for part in (setting["short_desc"], setting["extra_desc"]) if part)
        out.append(f"| `{setting['name']}` | {in_unit(setting['boot_val'], unit)} | {span} | "
                   f"{changes.get(setting['context'], setting['context'])} | {cell(text)} |")
    out.append("")


def render_view(view, out):
    out += [f"### {view['name']}", ""]
    if view["comment"]:
        out += [sentence(view["comment"]), ""]
    out += ["| column | type | |", "|---|---|---|"]
    for column in view["columns"]:
        out.append(f"| `{column['name']}` | {plain_type(column['type'])} | {cell(sentence(column['comment']))} |")
    out.append("")


def main():
    top = pathlib.Path(sys.argv[1])
    catalog = json.load(sys.stdin)
    types = {row_type["name"]: row_type for row_type in catalog["types"]}
    by_symbol = {}
    for routine in catalog["routines"]:
        by_symbol.setdefault(routine["symbol"], []).append(routine)
    check_codes(top, catalog["routines"])
    out = ["# Reference", "",
           f"Made by `scripts/reference` from the comments in `sql/` (`\\df+ durable_work.*` shows the same), for version {catalog['version']}. "
           "How to use it all: [the guide](guide/queue.md).", "",
           "Everything is in the schema `durable_work`. Arguments can be named (`priority => 0`); those with a default can be left out. "
           "A bad argument raises `22023`, a null where none is allowed `22004`, and nothing is stored.", "",
           "[Errors](#errors) · [Settings](#settings) · [Views](#views) · [Internals](#internals)", ""]
    section, internal = None, []
    for wanted, symbol in functions_in_order(top):
        for routine in by_symbol.pop(symbol, []):
            if routine["name"] in INTERNAL:
                internal.append(routine)
                continue
            if wanted != section:
                section = wanted
                out += [f"## {INTRODUCTION.get(section, section.capitalize())}", ""]
            render_routine(top, routine, types, out)
    for symbol in sorted(by_symbol):
        internal += by_symbol[symbol]
    out += ["## Views", ""]
    for view in catalog["relations"]:
        if view["kind"] == "v":
            render_view(view, out)
    render_errors(top, out)
    render_settings(catalog["settings"], out)
    out += ["## Internals", "", "Not to be called or written by hand; listed so that you know what they are.", "",
            "| | |", "|---|---|"]
    for routine in sorted(internal, key=lambda each: (each["name"], each["arguments"])):
        first = (routine["comment"] or "").split("\n")[0]
        out.append(f"| function `{routine['name']}` | {cell(sentence(first))} |")
    for table in catalog["relations"]:
        if table["kind"] in "rp" and not re.search(r"_[1-7]$", table["name"]):
            table["name"] = re.sub(r"^(\w+)_0$", r"\1_0` to `\1_7", table["name"])
            out.append(f"| table `{table['name']}` | {cell(sentence(table['comment']))} |")
    print("\n".join(out).rstrip())


main()
