"""What the torture does to the servers while clients work."""

import os
import signal
import time

from servers import Stuck, kill, wait_until

POINTS = [f"loader-{phase}" for phase in ("chosen", "marks", "snapshot", "outcomes", "page", "rows", "committed", "ended")] + [
    "pre-commit", "pre-commit-linked", "commit-callback"]
# After the commit no error can be raised any more.
AT_POINTS = [(point, action) for point in POINTS for action in ("crash", "error", "pause") if (point, action) != ("commit-callback", "error")]
POINT_PATIENCE = 3      # seconds for a place to be reached; a loader has not always something to do


class Deck:
    """All of them in random order, then all again."""

    def __init__(self, random, cards):
        self.random, self.cards, self.left = random, sorted(cards, key=str), []

    def draw(self):
        if not self.left:
            self.left = self.random.sample(self.cards, len(self.cards))
        return self.left.pop()


class Acts:
    def __init__(self, random, load):
        self.random, self.load = random, load
        self.server = None
        self.done = {}
        processes = {"housekeeper": "^durable_work.*housekeeper", "launcher": "^durable_work.*launcher", "checkpointer": "^checkpointer",
                     "WAL writer": "^walwriter", "autovacuum launcher": "^autovacuum launcher"}
        self.acts = {f"kill -9 of the {name}": self.killing(pattern, signal.SIGKILL) for name, pattern in processes.items()}
        self.acts.update({
            "kill -9 of a backend": self.killing("^client backend", signal.SIGKILL),
            "kill -9 of a backend again": self.killing("^client backend", signal.SIGKILL),
            "termination of the housekeeper": self.killing("housekeeper", signal.SIGTERM),
            "termination of backends": lambda: self.tell("pg_terminate_backend", 0.4),
            "cancellation of backends": lambda: self.tell("pg_cancel_backend", 1),
            "many cancellations": lambda: [self.tell("pg_cancel_backend", 0.5) for _ in range(20)],
            "kill -9 of the postmaster": lambda: self.kill_postmaster(False),
            "kill -9 of all processes": lambda: self.kill_postmaster(True),
            "immediate stop": lambda: self.restart("immediate"),
            "fast restart": lambda: self.restart("fast"),
            "kill -9 of clients": lambda: self.load.kill_some(self.random),
            "a checkpoint": lambda: self.server.ask("CHECKPOINT"),
        })
        self.acts.update({f"a test point {turn}": self.at_a_point for turn in range(12)})
        self.deck = Deck(random, self.acts)
        self.points = Deck(random, AT_POINTS)

    def one(self):
        """Does the next act and returns its name."""
        name = self.deck.draw()
        happened = self.acts[name]()
        if not isinstance(happened, str):
            happened = name
        self.done[happened] = self.done.get(happened, 0) + 1
        return happened

    def killing(self, pattern, number):
        def act():
            rows = self.server.ask("SELECT pid FROM pg_stat_activity WHERE backend_type ~ '%s' AND application_name <> 'conductor' ORDER BY pid" % pattern)
            if rows:
                kill(self.random.choice(rows)[0], number)
        return act

    def tell(self, function, share):
        self.server.ask(f"SELECT count({function}(pid)) FROM pg_stat_activity"
                        f" WHERE backend_type = 'client backend' AND application_name <> 'conductor' AND random() < {share}")

    def kill_postmaster(self, with_children):
        self.server.kill_postmaster(with_children)
        self.server.start()

    def restart(self, mode):
        self.server.stop(mode)
        self.server.start()

    # --- test points ------------------------------------------------------------------------------

    def arm(self, point, action, count):
        file = self.server.data / "durable_work.test_point"
        new = file.with_suffix(".new")
        new.write_text(f"point:{point} {action} {count}\n")
        new.rename(file)
        return file

    def at_a_point(self):
        point, action = self.points.draw()
        file = self.arm(point, action, self.random.randint(1, 5))
        reached = self.server.data / "durable_work.test_point.reached"
        try:
            if action == "pause":
                wait_until("the point", reached.exists, patience=POINT_PATIENCE)
                # The others go on meanwhile, as far as they can.
                self.load.progress(30, patience=1)
            else:
                wait_until("the point", lambda: not file.exists(), patience=POINT_PATIENCE)
        except Stuck:
            if not reached.exists():
                return f"{action} at {point}, not reached"
        finally:
            file.unlink(missing_ok=True)
            reached.unlink(missing_ok=True)
        return f"{action} at {point}"


class Load:
    """The clients, each a process with a journal."""

    def __init__(self, spawn, count):
        self.spawn, self.count = spawn, count
        self.processes = {}
        self.number = 0
        self.server = None

    def begin(self):
        while len(self.processes) < self.count:
            self.number += 1
            self.processes[self.number] = self.spawn(self.number)

    def kill_some(self, random):
        for number in [number for number in sorted(self.processes) if random.random() < 0.3]:
            process = self.processes.pop(number)
            process.kill()
            process.wait()
        self.begin()

    def receipts(self):
        rows = self.server.ask("SELECT count(*) FROM receipt")
        return rows[0][0] if rows else None

    def progress(self, more, patience=60):
        """Waits until that many more jobs were completed."""
        wanted = None

        def enough():
            nonlocal wanted
            if any(process.poll() is not None for process in self.processes.values()):
                raise RuntimeError("a client has ended; its journal says why")
            now = self.receipts()
            if now is not None and wanted is None:
                wanted = now + more
            return now is not None and now >= wanted
        wait_until(f"{more} more completions", enough, 0.1, patience)

    def end(self):
        """Those that did not end by themselves."""
        give_up = time.monotonic() + 60
        stuck = []
        for number, process in self.processes.items():
            try:
                if process.wait(max(1, give_up - time.monotonic())):
                    stuck.append(f"client {number} ended with {process.returncode}")
            except Exception:  # pylint: disable=broad-except
                stuck.append(f"client {number} does not end")
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        self.processes = {}
        return stuck
