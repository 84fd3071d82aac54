#!/usr/bin/python3
"""Torture of a real server: clients do everything that can be done, while backends, workers and servers are killed, stopped at
test points, promoted and restored. Then the books of the clients are compared with what the server holds.

    torture.py --bindir DIR --directory DIR --seconds N [--seed N] [--clients N]

The seed decides the order of what is done to the server and the choices of each client. The run, in parts of the seconds:

    primary       a base backup is taken and a standby of it begun; acts, one after the other, each followed by work
    synchronous   the standby is synchronous from here on, so that what was acknowledged outlives the primary
    promotion     the primary is killed, the standby takes its place; a base backup, more acts there, and a restore point among them
    rest          clients end, prepared transactions are decided; the counters must be those of a full count
    work-off      what is left is worked off; the audit
    past          that base backup is brought to the restore point, audited and worked off as well

Ends with "passed N failed N".
"""

import argparse
import contextlib
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import psycopg

import lies
import queues
from acts import Acts, Load
from audit import Audit, Holding, Rules
from client import Client
from journal import Books, read
from servers import Server, Stuck, wait_until
from session import Lost, Refused, moment

HERE = pathlib.Path(__file__).parent


class Score(Rules):
    def __init__(self):
        super().__init__()
        self.passed = self.failed = 0

    def add(self, rules, title):
        print(f"# {title}")
        rules.show()
        self.failed += len(rules.broken())
        self.passed += len(rules.results) - len(rules.broken())

    def one(self, text, wrong):
        rules = Rules()
        rules.rule(text, 1, wrong)
        rules.show()
        self.failed += bool(wrong)
        self.passed += not wrong


class Torture:
    def __init__(self, options):
        self.options = options
        self.place = pathlib.Path(options.directory)
        self.random = random.Random(options.seed)
        self.score = Score()
        self.first, self.second, self.past = (Server(options.bindir, self.place, name) for name in ("a", "b", "c"))
        # Whichever of the two is the primary.
        self.dsn = f"host={self.first.directory},{self.second.directory} user=postgres dbname=postgres target_session_attrs=read-write"
        self.stop_file = self.place / "stop"
        self.load = Load(self.spawn, options.clients)
        self.acts = Acts(self.random, self.load)
        self.gap = (0, 0)
        self.began = self.load_began = moment()

    def spawn(self, number):
        return subprocess.Popen(  # pylint: disable=consider-using-with
            ["/usr/bin/python3", HERE / "client.py", "--dsn", self.dsn, "--journal", self.journal(number), "--seed", str(self.options.seed),
             "--number", str(number), "--stop-file", self.stop_file])

    def journal(self, name):
        return self.place / f"journal-{name}"

    def books(self, *names):
        return [path for path in self.place.glob("journal-*") if not names or path.name.removeprefix("journal-") in names]

    def say(self, text):
        print(f"# {moment() - self.began:6.1f} s: {text}", flush=True)

    def work_on(self, server):
        self.load.server = self.acts.server = server

    def run(self):
        self.first.initialise()
        self.first.start()
        with psycopg.connect(self.first.dsn, autocommit=True) as connection:
            queues.create(connection)
        self.work_on(self.first)
        self.load.begin()
        self.load.progress(100)
        self.first.program("pg_basebackup", "-d", self.first.dsn, "-D", self.place / "base", "-c", "fast", "--no-sync")
        self.second.take_from(self.place / "base", "standby.signal", f"primary_conninfo = 'host={self.first.directory} user=postgres'")
        self.second.start()
        self.load_began = moment()
        self.torment(0.45)
        self.promote()
        self.torment(0.85)
        point = self.restore_point()
        self.torment(1)
        self.say(f"acts: {self.acts.done}")
        self.end(self.second, point)
        return self.score

    def torment(self, until):
        while True:
            act = self.acts.one()
            self.say(act)
            self.load.progress(50)
            if moment() - self.load_began > until * self.options.seconds:
                break

    # --- promotion ----------------------------------------------------------------------------------

    def promote(self):
        self.say("the standby is synchronous")
        self.first.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.first.ask("SELECT pg_reload_conf()")
        self.torment(0.6)
        wait_until("the standby is synchronous", lambda: self.first.ask("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"))
        reached = wait_until("the place in the log", lambda: self.first.ask("SELECT pg_current_wal_lsn()"))[0][0]
        wait_until("the standby has caught up", lambda: self.first.ask(f"SELECT FROM pg_stat_replication WHERE flush_lsn >= '{reached}'"))
        began = moment()
        self.first.kill_postmaster(self.random.random() < 0.5)
        self.gap = (began, moment())
        self.second.program("pg_ctl", "-D", self.second.data, "-w", "promote")
        self.work_on(self.second)
        self.say("promoted")
        self.load.progress(50)
        # On the new timeline: PostgreSQL cannot bring a copy that has prepared transactions across the change of timelines.
        self.second.program("pg_basebackup", "-d", self.second.dsn, "-D", self.place / "later", "-c", "fast", "--no-sync")

    # --- point in time --------------------------------------------------------------------------------

    def restore_point(self):
        """When it was asked for and told, and the file of the log that has it."""
        def make():
            asked = moment()
            rows = self.second.ask("SELECT pg_walfile_name(pg_create_restore_point('here'))")
            told = moment()
            # Flushed by a commit behind it.
            return rows and self.second.ask("INSERT INTO tx VALUES ('restore point') RETURNING 1") and (asked, told, rows[0][0])
        return wait_until("a restore point", make)

    def bring_back(self, point):
        asked, told, file = point
        # pg_ctl comes back while the server is still on its way.
        self.past.take_from(self.place / "later", "recovery.signal", "recovery_target_name = 'here'", "recovery_target_action = 'promote'",
                            "archive_command = 'true'")
        wait_until(f"{file} is archived", (self.past.archive / file).exists)
        self.past.start()
        wait_until("the point", lambda: self.past.ask("SELECT WHERE NOT pg_is_in_recovery()"))
        self.say("brought to the restore point")
        highest = max(line["token"] for line in Books(read(self.books())).claims)
        stale = self.old_tokens()
        finisher = Finisher(self.past.dsn, self.journal("past"), "past", self.options.seed)
        finisher.rest()
        accepted = finisher.try_stale(stale)
        finisher.work_off()
        own = Books(read(self.books("past"))).claims
        self.score.one("tokens of the server that went on are refused by the one brought back", accepted)
        self.score.one("and its own are higher", [line["token"] for line in own if line["token"] <= highest] or ([] if own else ["no claim"]))
        with psycopg.connect(self.past.dsn, autocommit=True) as connection:
            settle(connection)
            audit = Audit(Books(read(self.books())), Holding(connection), past=(asked, told))
        self.score.add(audit, "a base backup brought to a restore point")

    def old_tokens(self):
        claims = Books(read(self.books())).claims
        return [(line["job"], line["token"]) for line in self.random.sample(claims, min(300, len(claims)))]

    # --- the end ----------------------------------------------------------------------------------------

    def end(self, server, point):
        self.stop_file.touch()
        stuck = self.load.end()
        self.score.one("clients end by themselves", stuck)
        self.say("at rest")
        finisher = Finisher(server.dsn, self.journal("last"), "last", self.options.seed)
        lost = finisher.lost_prepared(Books(read(self.books())))
        self.score.one("no prepared transaction is lost", lost)
        finisher.rest()
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            self.score.one("at rest the counters are those of a full count", agree(connection))
            finisher.work_off()
            self.say("worked off")
            settle(connection)
            holding = Holding(connection)
        lines = read(self.books())
        books = Books(lines)
        audit = Audit(books, holding, gap=self.gap)
        self.score.add(audit, "the clients' books beside what the server holds")
        for what, times in sorted(books.did.items()):
            print(f"# {times} x {what}")
        missed, told = lies.check(lines, holding, audit, self.options.seed)
        self.score.one(f"all of {told} planted lies are found", missed)
        server.ask("SELECT pg_switch_wal()")
        server.stop("fast")
        self.bring_back(point)
        self.past.stop("fast")
        for each in (self.first, self.second, self.past):
            self.score.one(f"nothing alarming in the log of server {each.directory.name}", each.alarms())


def becomes_empty(connection, query):
    """The rows that a query still has after a while."""
    with contextlib.suppress(Stuck):
        wait_until("an end of it", lambda: not connection.execute(query).fetchall(), 0.2, 60)
    return connection.execute(query).fetchall()


def agree(connection):
    """What runs out meanwhile is counted by the one before the other."""
    return becomes_empty(connection, "SELECT * FROM differences")


def settle(connection):
    agree(connection)
    becomes_empty(connection, "SELECT FROM durable_work.health() WHERE severity = 'critical' AND \"check\" <> 'log'")


class Finisher(Client):
    """The last client: decides, works off."""

    def lost_prepared(self, books):
        self.connect()
        there = {gid.removeprefix("t ") for gid, in self.rows("SELECT gid FROM pg_prepared_xacts")}
        return [one.name for one in books.transactions.values() if one.how == "prepared" and not one.decide and one.name not in there]

    def rest(self):
        """Nothing is under way any more but what waits, or is held by workers that are gone."""
        self.most_held = float("inf")
        if self.connection is None:
            self.connect()
        for gid, in self.rows("SELECT gid FROM pg_prepared_xacts"):
            self.decide_prepared(gid, self.random.choice(["commit", "rollback"]))
        self.unit("deregister", lambda transaction: self.call("SELECT durable_work.deregister_worker(worker) FROM durable_work.workers"))
        self.unit("resume", lambda transaction: self.call("SELECT durable_work.resume_queue(queue) FROM durable_work.queues WHERE paused"))
        self.unit("unlimit", lambda transaction: self.call(
            "SELECT durable_work.set_concurrency_limit('fair', NULL), durable_work.set_concurrency_limit('ring', NULL, 'key'),"
            " durable_work.set_rate_limit('load', NULL)"))
        wait_until("redrives end", lambda: not self.rows("SELECT FROM durable_work.redrives WHERE state = 'running'"))

    def try_stale(self, tokens):
        accepted = []
        for job, token in tokens:
            if self.rows("SELECT durable_work.try_complete(%s, %s)", [job, token])[0][0] == "completed":
                accepted.append((job, token))
        return accepted

    def work_off(self):
        def nothing_left():
            for queue in queues.QUEUES:
                self.unit("hurry", lambda transaction, queue=queue: self.call("SELECT durable_work.reschedule_many(%s, now())", [queue]))
                self.claim("%s, %s, 500, lease => '10 min'", [queue, self.name])
            self.unit("unblock", lambda transaction: self.call(
                "SELECT durable_work.unblock_key('ordered', partition_key, 'skip') FROM durable_work.blocked_keys('ordered') WHERE NOT ending"))
            self.unit("complete", self.complete_all)
            return self.rows("SELECT WHERE NOT EXISTS (SELECT FROM durable_work.queue_stats WHERE unfinished IS DISTINCT FROM 0)"
                             " AND NOT EXISTS (SELECT FROM durable_work.blocked_key)")
        try:
            wait_until("everything is worked off", nothing_left)
        except Stuck as stuck:
            print(f"# {stuck}")     # the audit says what is left

    def complete_all(self, transaction):
        some = list({one.job: one for one in self.held}.values())
        self.held, self.stale = [], []
        asked = moment()
        rows = self.rows("SELECT job_id, outcome FROM durable_work.complete_many(%s::bigint[], %s::bigint[])",
                         [[one.job for one in some], [one.token for one in some]])
        self.outcomes(transaction, some, rows, ["completed"], "complete", asked)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bindir", required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int(time.time())
    print(f"# DW_SEED={options.seed}", flush=True)
    pathlib.Path(options.directory).mkdir(parents=True)
    torture = Torture(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        torture.run()
    except (Stuck, Lost, Refused, RuntimeError) as end:
        print(f"broken: the run came to its end\n    {type(end).__name__} {end}")
        for complaint in Books(read(torture.books())).complaints[:10]:
            print(f"    {complaint}")
        torture.score.failed += 1
    finally:
        for process in torture.load.processes.values():
            process.kill()
        for server in (torture.first, torture.second, torture.past):
            if (server.data / "postmaster.pid").exists():
                server.program("pg_ctl", "-D", server.data, "-m", "immediate", "stop", check=False)
    print(f"DW_SEED={options.seed}\npassed {torture.score.passed} failed {torture.score.failed}")
    if not torture.score.failed:
        shutil.rmtree(torture.place, ignore_errors=True)
    sys.exit(1 if torture.score.failed else 0)


if __name__ == "__main__":
    main()
