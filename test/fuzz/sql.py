#!/usr/bin/python3
"""Throws random calls at the installed extension, in databases of three encodings and as roles of different rights.

    sql.py [--seed N] [--seconds N | --calls N]

The PG variables name a server that preloads durable_work. What there is to call, to read and to write comes from the
catalog; what is given to it from arguments.py. The calls run in transactions of every kind, behind savepoints, after
failures, beside transactions that are left open or prepared, and some are cancelled.

A call may do what it likes but for these:
  - the server closes the connection, or an error has a class that neither the server's rules nor docs/reference.md
    give to a caller (XX: internal error, or damage),
  - an error of our own says too little, or says it in bytes that are no text of the client's encoding.
Afterwards, when all transactions have ended:
  - the memory of sessions and of the extension's workers has not grown over the second half of the run,
  - in each database the figures of queue_stats are those of a full count, health() has nothing critical,
    and a new queue hands out a job, which is completed.
The last line is "passed N failed N"; what failed is told before it, with the seed and the last statements of the session.
"""

import argparse
import collections
import pathlib
import random
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path[:0] = [str(TOP / "test" / "contract"), str(HERE)]

import arguments  # noqa: E402
import routines  # noqa: E402
from connection import Connection  # noqa: E402
from psycopg import pq  # noqa: E402

DATABASES = {"fuzz_utf8": ("UTF8", "utf-8"), "fuzz_latin1": ("LATIN1", "latin-1"), "fuzz_ascii": ("SQL_ASCII", None)}
# Of rows that a random history leaves, whatever it was: what queue_stats says beside what the tables say.
DIFFERENCES = """
SELECT queue.name, stats.ready, stats.delayed, stats.blocked, stats.processing, stats.spilled, stats.unfinished, stats.dead_letter,
       job.pending AS counted_pending, job.processing AS counted_processing, dead.letters AS counted_dead
FROM durable_work.queue AS queue
JOIN durable_work.queue_stats AS stats ON stats.queue = queue.name
LEFT JOIN (SELECT queue, count(*) FILTER (WHERE status = 'pending') AS pending,
                  count(*) FILTER (WHERE status = 'processing') AS processing
           FROM durable_work.inbox GROUP BY queue) AS job ON job.queue = queue.name
LEFT JOIN (SELECT queue, count(*) AS letters FROM durable_work.dead_letters GROUP BY queue) AS dead ON dead.queue = queue.name
WHERE stats.unfinished IS DISTINCT FROM coalesce(job.pending + job.processing, 0)
   OR stats.processing IS DISTINCT FROM coalesce(job.processing, 0)
   OR stats.ready + stats.delayed + stats.blocked + stats.spilled IS DISTINCT FROM coalesce(job.pending, 0)
   OR stats.dead_letter IS DISTINCT FROM coalesce(dead.letters, 0)"""
# Name, whether the role may insert, update and delete, and the columns. Nobody is to write to tables by hand, so superusers
# write to views only.
RELATIONS = """
SELECT class.relname, has_table_privilege(class.oid, 'INSERT') AND by_hand.may, has_table_privilege(class.oid, 'UPDATE') AND by_hand.may,
       has_table_privilege(class.oid, 'DELETE') AND by_hand.may,
       (SELECT json_agg(json_build_array(attname, format_type(atttypid, NULL)) ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped)
FROM pg_class AS class JOIN pg_roles AS role ON role.rolname = current_user
CROSS JOIN LATERAL (SELECT class.relkind = 'v' OR NOT role.rolsuper) AS by_hand (may)
WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'v', 'p') ORDER BY relname COLLATE "C" """
# Classes of errors that calls may end with, besides those of our own that the reference has.
CLASSES = ("0A", "21", "22", "23", "25", "2D", "34", "3B", "3D", "40", "42", "53", "54", "55")
STATES = ("57014",)
WEIGHTS = {"enqueue": 12, "enqueue_many": 6, "claim": 14, "complete": 4, "complete_many": 4, "complete_and_claim": 4, "fail": 4,
           "fail_many": 3, "create_queue": 2, "grant_queue": 2, "reload": 0.1, "attach_database": 0.1, "drop_queue": 0.4, "purge_queue": 0.5}
# What a session may hold more at the end than in the middle, and any process by what the system says.
MOST_GROWTH = 512 * 1024
MOST_RESIDENT_GROWTH = 24 * 1024 * 1024


def documented_states():
    told = (TOP / "docs" / "reference.md").read_text()
    raised = re.findall(r'"(DW\d+)"', (TOP / "include" / "durable_work" / "errors.h").read_text())
    return {state for state in raised if state in told}


class Session:
    """One connection as one role, with the jobs and tokens that it has seen."""

    def __init__(self, run, database, role, encoding):
        self.run, self.database, self.role = run, database, role
        self.said = collections.deque(maxlen=25)
        self.jobs, self.tokens = collections.deque([1], maxlen=60), collections.deque([(1, 1)], maxlen=60)
        self.lost = False
        self.prepared = self.savepoints = 0
        link = pq.PGconn.connect(f"dbname={database} application_name=fuzz user={role}".encode())
        if link.status != pq.ConnStatus.OK:
            raise RuntimeError(link.error_message.decode(errors="replace"))
        link.notice_handler = None
        self.link = link
        self.codec = DATABASES[database][1]
        if encoding:
            self.must(f"SET client_encoding = '{encoding}'")
            self.codec = "utf-8"
        self.must("SET statement_timeout = '10s'; SET lock_timeout = '100ms'; SET client_min_messages = warning")
        self.pid = link.backend_pid
        self.is_super = role == run.superuser

    def must(self, text):
        result = self.link.exec_(text.encode())
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise RuntimeError(f"{self.database} {self.role}: {self.link.error_message.decode(errors='replace')}\n{text}")
        return [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]

    def catalog(self):
        desk = Connection(self.database)
        desk.rows(f"SET ROLE {self.role}")
        self.relations = desk.rows(RELATIONS)
        desk.link.finish()

    def ask(self, text, values=()):
        """SQLSTATE of a statement with values for its parameters, or ok; complains about what must not be."""
        self.said.append((text, [value if value is None else value[:200] for value in values]))
        self.run.calls += 1
        statement = text if isinstance(text, bytes) else text.encode(self.codec or "utf-8", "replace")
        result = self.link.exec_params(statement, list(values)) if values else self.link.exec_(statement)
        if self.link.status != pq.ConnStatus.OK:
            self.lost = True
            self.run.complain(self, f"the connection was lost: {self.link.error_message.decode(errors='replace')}")
            return "lost"
        if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.NONFATAL_ERROR):
            return self.judge(result)
        self.harvest(result)
        return "nothing" if result.command_status == b"ROLLBACK" and text.startswith("PREPARE") else "ok"

    def judge(self, result):
        def field(which):
            value = result.error_field(which)
            return "" if value is None else value.decode(self.codec or "latin-1")
        try:
            state, message = field(pq.DiagnosticField.SQLSTATE), field(pq.DiagnosticField.MESSAGE_PRIMARY)
            detail, hint = field(pq.DiagnosticField.MESSAGE_DETAIL), field(pq.DiagnosticField.MESSAGE_HINT)
        except UnicodeDecodeError as broken:
            self.run.complain(self, f"an error is no text of the client's encoding: {broken}")
            return "broken"
        source = field(pq.DiagnosticField.SOURCE_FILE)
        self.run.states[state] += 1
        told = f"{state} {message} ({source})"
        if state not in self.run.documented and state[:2] not in CLASSES and state not in STATES:
            self.run.complain(self, f"must not happen: {told}")
        if not message:
            self.run.complain(self, f"an error without a message: {told}")
        elif source in self.run.own_files and not (detail or hint or self.run.names_argument(message)):
            self.run.complain(self, f"says too little: {told}")
        return state

    def harvest(self, result):
        if result.ntuples == 0:
            return
        names = [result.fname(column) for column in range(result.nfields)]
        job = next((names.index(name) for name in (b"job_id", b"id") if name in names), None)
        token = names.index(b"lease_token") if b"lease_token" in names else None
        for row in range(min(result.ntuples, 20)):
            if job is None or not (result.get_value(row, job) or b"").isdigit():
                continue
            number = int(result.get_value(row, job))
            self.jobs.append(number)
            if token is not None and (result.get_value(row, token) or b"").isdigit():
                self.tokens.append((number, int(result.get_value(row, token))))

    def status(self):
        return self.link.transaction_status

    # --- what it does ---

    def call(self, draw):
        routine = draw.choices(self.run.routines, self.run.weights)[0]
        tame = draw.random() < 0.5
        few = 0.1 if tame else 0.35
        chosen = [each for each in routine.arguments if each.required and (tame or draw.random() < 0.99) or draw.random() < few]
        lease = draw.choice(self.tokens) if draw.random() < 0.8 else (draw.choice(self.jobs), draw.choice(self.tokens)[1])
        values = [arguments.value(draw, each.name, each.type, self, lease, tame) for each in chosen]
        given = ", ".join(f"{each.name} => ${number}::{each.type}" for number, each in enumerate(chosen, 1))
        how = "CALL" if routine.is_procedure else "SELECT" if routine.is_trigger else "SELECT * FROM"
        text = f'{how} durable_work."{routine.name}"({given})'
        way = draw.random()
        if way < 0.15 or routine.is_procedure:
            # As literals in the text, which the server reads another way.
            text, values = self.with_literals(text, values), []
            if way < 0.05 and isinstance(text, bytes):
                text = b"DO $fuzz$BEGIN PERFORM fuzz.try($try$" + text + b"$try$); END$fuzz$"
        state = self.ask(text, values)
        self.run.worked[routine.name] += state == "ok"
        return state

    def with_literals(self, text, values):
        out = text.encode()
        for number in range(len(values), 0, -1):
            value = values[number - 1]
            literal = b"NULL" if value is None else b"'" + value.replace(b"'", b"''") + b"'"
            out = out.replace(f"${number}::".encode(), literal + b"::", 1)
        return out

    def read(self, draw):
        name, *_, columns = draw.choice(self.relations)
        column, kind = draw.choice(columns)
        text, values = f'SELECT * FROM durable_work."{name}"', []
        if draw.random() < 0.4:
            text += f' WHERE "{column}" {draw.choice(["=", "<>", ">", "IS NOT DISTINCT FROM"])} $1::{kind}'
            values = [arguments.value(draw, column, kind, self, draw.choice(self.tokens), False)]
        if draw.random() < 0.2:
            text += f' ORDER BY "{draw.choice(columns)[0]}"::text'
        return self.ask(text + f" LIMIT {draw.choice([0, 1, 20, 1000])}", values)

    def write(self, draw):
        writable = [each for each in self.relations if any(each[1:4])]
        name, inserts, updates, deletes, columns = draw.choice(writable or self.relations)
        tame = draw.random() < 0.5
        chosen = draw.sample(columns, min(len(columns), draw.randint(1, 6)))
        if tame and name == "inbox":
            chosen = [each for each in columns if each[0] in ("queue", "payload")]
        lease = draw.choice(self.tokens)
        values = [arguments.value(draw, column, kind, self, lease, tame) for column, kind in chosen]
        places = [f"${number}::{kind}" for number, (_, kind) in enumerate(chosen, 1)]
        quoted = [f'"{column}"' for column, _ in chosen]
        what = draw.choice([each for each, may in (("insert", inserts), ("update", updates), ("delete", deletes)) if may] or ["insert"])
        if what == "insert":
            text = f'INSERT INTO durable_work."{name}" ({", ".join(quoted)}) VALUES ({", ".join(places)})'
            if draw.random() < 0.3:
                text += " RETURNING *"
        elif what == "update":
            text = f'UPDATE durable_work."{name}" SET ' + ", ".join(f"{a} = {b}" for a, b in zip(quoted, places))
        else:
            text = f'DELETE FROM durable_work."{name}" WHERE ' + " AND ".join(f"{a} = {b}" for a, b in zip(quoted, places))
        return self.ask(text, values)

    def act(self, draw):
        what = draw.random()
        if what < 0.84:
            return self.call(draw)
        return self.read(draw) if what < 0.93 else self.write(draw)

    def episode(self, draw):
        """A transaction, or a part of one that is left open for a while."""
        if self.status() == pq.TransactionStatus.IDLE:
            way = draw.random()
            if draw.random() < 0.02:
                self.ask(f"SET statement_timeout = '{draw.choice(['1ms', '3ms', '10s', '10s', '10s'])}'")
            if way < 0.35:
                for _ in range(draw.randint(1, 4)):
                    self.act(draw)
                return
            self.savepoints = 0
            self.ask("BEGIN" + draw.choice(["", "", "", "", " READ ONLY", " ISOLATION LEVEL REPEATABLE READ", " ISOLATION LEVEL SERIALIZABLE"]))
        for _ in range(draw.randint(1, 5)):
            way = draw.random()
            if self.status() == pq.TransactionStatus.INERROR and way < 0.8:
                self.ask("ROLLBACK TO s" if way < 0.5 and self.savepoints else "ROLLBACK")
            elif way < 0.15:
                self.savepoints += self.ask("SAVEPOINT s") == "ok"
            elif way < 0.25 and self.savepoints:
                self.ask("ROLLBACK TO s")
            elif way < 0.3 and self.savepoints:
                self.savepoints -= self.ask("RELEASE s") == "ok"
            else:
                self.act(draw)
            if self.lost:
                return
        if draw.random() < 0.1:
            return
        self.end(draw)

    def end(self, draw):
        way = draw.random()
        if way < 0.12 and self.role != "fuzz_nobody":
            self.prepared += 1
            name = f"fuzz {self.pid} {self.prepared}"
            if self.ask(f"PREPARE TRANSACTION '{name}'") == "ok":
                self.run.left_prepared.append((self, name))
        self.ask("COMMIT" if way < 0.75 else "ROLLBACK")

    def rest(self):
        """Ends what is open; with a short timeout that may be cancelled too."""
        for _ in range(1000):
            self.link.exec_(b"ROLLBACK")
            if self.link.exec_(b"SET statement_timeout = '20s'").status == pq.ExecStatus.COMMAND_OK:
                return
        raise RuntimeError(f"{self.database} {self.role}: the session cannot be brought to rest: {self.link.error_message}")

    def memory(self):
        """What it holds apart from caches, whose size is the server's business."""
        self.must("DISCARD PLANS")
        return int(self.must("""SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE NOT (ident IS NOT NULL OR name ~ 'Cache|cache')
                                AND (parent IS NULL OR parent !~ 'Cache')""")[0][0])


class Run:
    def __init__(self, options):
        self.options = options
        self.draw = random.Random(options.seed)
        self.documented = documented_states()
        self.own_files = {path.name for path in (TOP / "src").rglob("*") if path.suffix in (".cpp", ".hpp", ".c")}
        self.complaints, self.calls, self.passed = [], 0, 0
        self.states, self.worked = collections.Counter(), collections.Counter()
        self.left_prepared = []
        self.superuser = Connection("postgres").value("SELECT current_user")

    def complain(self, session, text):
        if len(self.complaints) >= 20:
            self.complaints.append(None)
            return
        where = f"{session.database} as {session.role}: " if session else ""
        said = [f"    {statement!r:.1500} {values}" for statement, values in session.said] if session else []
        self.complaints.append("\n".join([f"{where}{text}", *said]))

    def names_argument(self, message):
        return any(name in message for name in self.argument_names)

    # --- set up ---

    def prepare(self):
        main = Connection("postgres")
        for role in ("fuzz_all", "fuzz_one", "fuzz_nobody"):
            main.rows(f"CREATE ROLE {role} LOGIN")
        self.desks, self.sessions = {}, []
        for database, (encoding, _) in DATABASES.items():
            main.rows(f"CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
            desk = self.desks[database] = Connection(database)
            desk.rows("CREATE EXTENSION durable_work")
            desk.rows((HERE / "fixture.sql").read_text())
            for right in ("enqueue", "work", "operate", "monitor"):
                desk.rows(f"SELECT durable_work.grant_queue(NULL, 'fuzz_all', '{right}')")
            for right in ("enqueue", "work"):
                desk.rows(f"SELECT durable_work.grant_queue('plain', 'fuzz_one', '{right}')")
            desk.rows("GRANT pg_read_all_stats TO fuzz_all")
            self.wait_until(desk, "SELECT count(*) > 0 FROM durable_work.epoch")
        self.routines = routines.read(self.desks["fuzz_utf8"])
        self.weights = [WEIGHTS.get(each.name, 1) for each in self.routines]
        self.argument_names = {each.name.removesuffix("s") for routine in self.routines for each in routine.arguments}
        for database in DATABASES:
            for role in (self.superuser, "fuzz_all", "fuzz_one", "fuzz_nobody"):
                self.open(database, role)
        self.open("fuzz_latin1", self.superuser, "UTF8")
        self.open("fuzz_ascii", "fuzz_all", "UTF8")

    def open(self, database, role, encoding=None):
        session = Session(self, database, role, encoding)
        session.catalog()
        self.sessions.append(session)

    @staticmethod
    def wait_until(connection, query, seconds=90):
        end = time.monotonic() + seconds
        while not connection.value(query):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    # --- run ---

    def end_prepared(self, all_of_them=False):
        while self.left_prepared and (all_of_them or len(self.left_prepared) > 3):
            session, name = self.left_prepared.pop(0)
            self.desks[session.database].ask(f"{self.draw.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{name}'")

    def keep_few_queues(self):
        for desk in self.desks.values():
            desk.ask("SELECT fuzz.keep_few_queues()")

    def resident(self):
        """Memory of its own of each process that has to do with the extension."""
        pids = {session.pid: f"{session.database} as {session.role}" for session in self.sessions if not session.lost}
        rows = self.desks["fuzz_utf8"].rows("SELECT pid, backend_type || coalesce(' of ' || datname, '') FROM pg_stat_activity WHERE backend_type ~ 'durable'")
        pids.update({pid: kind for pid, kind in rows})
        found = {}
        for pid, what in pids.items():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            found[pid] = (what, int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024)
        return found

    def look_at_memory(self):
        for session in self.sessions:
            if not session.lost:
                session.rest()
        return {id(session): session.memory() for session in self.sessions if session.is_super and not session.lost}, self.resident()

    def is_over(self, share=1.0):
        if self.options.calls:
            return self.calls >= self.options.calls * share
        return time.monotonic() - self.begun >= self.options.seconds * share

    def go(self, share):
        rounds = 0
        while not self.is_over(share) and len(self.complaints) < 20:
            session = self.draw.choice(self.sessions)
            if session.role == "fuzz_nobody" and self.draw.random() < 0.7:
                continue
            if session.lost:
                break
            session.episode(self.draw)
            self.end_prepared()
            rounds += 1
            if rounds % 400 == 0:
                self.keep_few_queues()

    def compare_memory(self, before, after):
        for session in self.sessions:
            if id(session) in before[0] and id(session) in after[0]:
                grown = after[0][id(session)] - before[0][id(session)]
                self.check(grown <= MOST_GROWTH, f"{session.database} as {session.role}: memory contexts have grown by {grown} bytes")
        for pid, (what, bytes_then) in before[1].items():
            if pid in after[1]:
                grown = after[1][pid][1] - bytes_then
                self.check(grown <= MOST_RESIDENT_GROWTH, f"{what}: the process has grown by {grown} bytes")

    def check(self, holds, text):
        if holds:
            self.passed += 1
        else:
            self.complain(None, text)

    @staticmethod
    def work_one_off(desk):
        desk.rows("SELECT durable_work.create_queue('afterwards')")
        job = desk.value("SELECT job_id FROM durable_work.enqueue('afterwards', '{}')")
        rows = desk.rows("SELECT job_id, lease_token FROM durable_work.claim('afterwards', 'afterwards', 10)")
        if [row[0] for row in rows] != [job]:
            raise RuntimeError(f"job {job} was enqueued, {rows} was claimed")
        desk.rows(f"SELECT durable_work.complete({job}, {rows[0][1]})")
        if desk.value(f"SELECT status FROM durable_work.inbox WHERE id = {job}") != "completed":
            raise RuntimeError(f"job {job} is not completed")

    def come_to_rest(self):
        for session in self.sessions:
            if not session.lost:
                session.rest()
        self.end_prepared(all_of_them=True)
        for database, desk in self.desks.items():
            self.check(self.wait_until(desk, f"SELECT count(*) = 0 FROM ({DIFFERENCES}) AS difference"),
                       f"{database}: queue_stats differs from a full count: {desk.rows(DIFFERENCES)[:10]}")
            critical = 'SELECT "check", seen FROM durable_work.health() WHERE severity = \'critical\''
            self.check(self.wait_until(desk, f"SELECT count(*) = 0 FROM ({critical}) AS row"), f"{database}: critical: {desk.rows(critical)}")
            try:
                self.work_one_off(desk)
                self.passed += 1
            except RuntimeError as error:
                self.check(False, f"{database}: a normal job fails: {error}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--calls", type=int)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    run = Run(options)
    run.prepare()
    run.begun = time.monotonic()
    run.go(0.5)
    before = run.look_at_memory()
    run.go(1.0)
    if not any(session.lost for session in run.sessions):
        after = run.look_at_memory()
        run.compare_memory(before, after)
        run.come_to_rest()
    for complaint in run.complaints:
        if complaint is not None:
            print(f"--- {complaint}")
    told = ", ".join(f"{state} {count}" for state, count in sorted(run.states.items()))
    print(f"seed {options.seed}: {run.calls} statements; errors: {told}")
    print("never worked: " + ", ".join(sorted({each.name for each in run.routines} - set(+run.worked))))
    if options.verbose:
        print(run.worked)
    passed = run.passed + (1 if not run.complaints else 0)
    print(f"passed {passed} failed {len(run.complaints)}")
    return 1 if run.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
