"""What workers do: claims in all forms, decisions with tokens that are current and that are not, registered workers."""

from psycopg.types.json import Jsonb

from queues import QUEUES, WRITTEN_CLAIMS
from session import Lost, Refused, moment

CLAIMED = "job_id, lease_token, queue, partition_key, payload->>'key', payload->>'rev', attempt"
RECEIPT = "INSERT INTO receipt VALUES (%s, %s, %s)"


class Held:
    def __init__(self, job, token, queue, key):
        self.job, self.token, self.queue, self.key = job, token, queue, key


class Worker:
    def claim(self, arguments, parameters, transaction=None, again=False, statement=None):
        asked = moment()
        rows = self.rows(statement or f"SELECT {CLAIMED} FROM durable_work.claim({arguments})", parameters)
        self.take_in(rows, asked, transaction, again)
        return rows

    def take_in(self, rows, asked, transaction=None, again=False):
        told = moment()
        for job, token, queue, pkey, key, rev, attempt in rows:
            more = {"tx": transaction.name, "sub": transaction.subs[-1]} if transaction else {}
            self.write(did="claimed", queue=queue, job=job, token=token, attempt=attempt, key=key, rev=rev, pkey=pkey, asked=asked,
                       told=told, **more, **({"again": True} if again else {}))
            self.held.append(Held(job, token, queue, key))
        # What is forgotten runs out; some of it is tried later all the same.
        if len(self.held) > self.most_held:
            self.stale += self.held[:-40]
            del self.held[:-40], self.stale[:-100]

    def work(self):
        try:
            self.claim_some()
        except Refused as refusal:
            self.refused("claim", refusal)
        for _ in range(self.random.randint(1, 4)):
            self.decide()

    def claim_some(self):
        chance = self.random.random()
        jobs = self.random.choice([1, 3, 10, 25])
        queue = self.random.choice(list(QUEUES))
        if chance < 0.1:
            queues = self.random.sample(list(QUEUES), 3)
            self.claim("%s::text[], %s, %s", [queues, self.name, jobs])
        elif chance < 0.2:
            self.claim("%s, %s, %s, wait => '100 ms'", [queue, self.name, jobs])
        elif chance < 0.25:
            self.call(f"CALL durable_work.wait_for_work('{{{queue}}}', '100 ms')")
            self.claim("%s, %s, %s", [queue, self.name, jobs])
        elif chance < 0.35:
            self.claim_with_request(queue, jobs)
        elif chance < 0.45:
            self.claim("%s, %s, %s, lease => '100 ms'", [queue, self.name, jobs])
        else:
            self.claim("%s, %s, %s", [queue, self.name, jobs])

    def claim_with_request(self, queue, jobs):
        """Repeated until there is an answer, also over the next connections."""
        self.requests += 1
        self.pending_request = (queue, jobs, f"{self.name}/{self.requests}")
        self.ask_request(False)
        if self.random.random() < 0.3:
            self.ask_request(True)
        self.pending_request = None

    def ask_request(self, again):
        queue, jobs, request = self.pending_request
        self.claim("%s, %s, %s, request_id => %s", [queue, self.name, jobs, request], again=again)

    # --- decisions ------------------------------------------------------------------------------

    def some_held(self, most):
        if self.stale and self.random.random() < 0.1:
            return [self.random.choice(self.stale)]
        count = min(self.random.randint(1, most), len(self.held))
        some = self.random.sample(self.held, count)
        # Some are kept and will be tried once more.
        self.held = [one for one in self.held if one not in some or self.random.random() < 0.1]
        return list({one.job: one for one in some}.values())

    def decide(self):
        if not self.held:
            return
        what = self.random.choices(
            [self.complete_alone, self.complete_in_unit, self.complete_many, self.complete_and_claim, self.give_up, self.fail_many,
             self.keep, self.claim_and_complete],
            [3, 5, 4, 2, 4, 1, 2, 1])[0]
        what()

    def note_accepted(self, transaction, operation, one, asked, **more):
        transaction.note("accepted", op=operation, job=one.job, token=one.token, asked=asked, **more)

    def complete_alone(self):
        """One statement is the whole transaction."""
        one = self.some_held(1)[0]

        def body(transaction):
            asked = moment()
            # Raises or says that it has completed the job before; then there must be no second receipt.
            if self.rows("WITH done AS MATERIALIZED (SELECT durable_work.complete(%s, %s) AS now),"
                         " t AS (INSERT INTO tx VALUES (%s)), r AS (INSERT INTO receipt SELECT %s, %s, %s FROM done WHERE now)"
                         " SELECT now FROM done",
                         [one.job, one.token, transaction.name, one.job, one.token, transaction.name])[0][0]:
                self.note_accepted(transaction, "complete", one, asked)
        self.single("complete", body)

    def complete_in_unit(self):
        """With receipt, effect and a successor, as a handler would."""
        def body(transaction):
            for one in self.some_held(3):
                with transaction.savepoint("complete", undo=self.random.random() < 0.1):
                    asked = moment()
                    if self.rows("SELECT durable_work.try_complete(%s, %s, %s)", [one.job, one.token, Jsonb({"by": self.name})])[0][0] != "completed":
                        continue
                    self.note_accepted(transaction, "complete", one, asked)
                    self.call(RECEIPT, [one.job, one.token, transaction.name])
                    if self.rows("SELECT durable_work.mark_handled('torture', %s)", [one.key])[0][0]:
                        transaction.note("marked", key=one.key)
                        self.call("INSERT INTO effect VALUES (%s, %s)", [one.key, transaction.name])
                    if self.random.random() < 0.2:
                        self.call("SELECT durable_work.fence('torture', %s)", [one.token])
            if self.random.random() < 0.3 and not self.deep:
                self.in_savepoint(transaction)
        self.unit("complete", body, self.style(), self.hurry())

    def outcomes(self, transaction, some, rows, good, operation, asked):
        told = dict(rows)
        for one in some:
            if told.get(one.job) in good:
                self.note_accepted(transaction, operation, one, asked, result=told[one.job])
                if operation == "complete":
                    self.call(RECEIPT, [one.job, one.token, transaction.name])

    def complete_many(self):
        def body(transaction):
            some = self.some_held(30)
            asked = moment()
            rows = self.rows("SELECT job_id, outcome FROM durable_work.complete_many(%s::bigint[], %s::bigint[])",
                             [[one.job for one in some], [one.token for one in some]])
            self.outcomes(transaction, some, rows, ["completed"], "complete", asked)
        self.unit("complete_many", body, self.style(), self.hurry())

    def fail_many(self):
        def body(transaction):
            some = self.some_held(10)
            asked = moment()
            rows = self.rows("SELECT job_id, outcome FROM durable_work.fail_many(%s::bigint[], %s::bigint[])",
                             [[one.job for one in some], [one.token for one in some]])
            self.outcomes(transaction, some, rows, ["retry", "dead_letter"], "fail", asked)
        self.unit("fail_many", body, self.style(), self.hurry())

    def complete_and_claim(self):
        queue = self.random.choice([name for name in QUEUES if name not in WRITTEN_CLAIMS])

        def body(transaction):
            some = self.some_held(20)
            asked = moment()
            rows = self.rows(f"SELECT outcome, {CLAIMED} FROM durable_work.complete_and_claim(%s::bigint[], %s::bigint[], %s::text, %s, 20)",
                             [[one.job for one in some], [one.token for one in some], queue, self.name])
            self.take_in([row[1:] for row in rows if row[0] == "claimed"], asked, transaction)
            self.outcomes(transaction, some, [(row[1], row[0]) for row in rows if row[0] != "claimed"], ["completed"], "complete", asked)
        self.unit("complete_and_claim", body, self.style(prepare=False), self.hurry())

    def claim_and_complete(self):
        """All within one transaction; a rollback gives the jobs back."""
        queue = self.random.choice([name for name in QUEUES if name not in WRITTEN_CLAIMS])

        def body(transaction):
            with transaction.savepoint("claim", undo=self.random.random() < 0.2):
                self.claim("%s, %s, 5", [queue, self.name], transaction)
            for one in self.some_held(5):
                with transaction.savepoint("complete"):
                    asked = moment()
                    if self.rows("SELECT durable_work.complete(%s, %s)", [one.job, one.token])[0][0]:
                        self.note_accepted(transaction, "complete", one, asked)
                        self.call(RECEIPT, [one.job, one.token, transaction.name])
        self.unit("claim and complete", body, self.style(prepare=False), self.hurry())

    def give_up(self):
        def body(transaction):
            for one in self.some_held(2):
                what = self.random.choices(["fail", "release", "defer", "reject"], [5, 2, 2, 1])[0]
                with transaction.savepoint(what, undo=self.random.random() < 0.1):
                    asked = moment()
                    self.note_accepted(transaction, what, one, asked, result=self.give_one_up(what, one))
        self.unit("give up", body, self.style(), self.hurry())

    def give_one_up(self, what, one):
        chance = self.random.random()
        if what == "fail":
            return self.rows("SELECT durable_work.fail(%s, %s, %s, retry_in => %s::interval, retryable => %s)",
                             [one.job, one.token, Jsonb({"why": "chance"}), "10 ms" if chance < 0.5 else None, chance < 0.9])[0][0]
        if what == "defer":
            self.call("SELECT durable_work.defer(%s, %s, clock_timestamp() + %s::interval)", [one.job, one.token, "100 ms" if chance < 0.5 else "0"])
        elif what == "release":
            self.call("SELECT durable_work.release(%s, %s)", [one.job, one.token])
        else:
            self.call("SELECT durable_work.reject(%s, %s, 'nonsense')", [one.job, one.token])
            return "dead_letter"
        return None

    def keep(self):
        """Extension, heartbeat, progress; they take effect at once."""
        one = self.random.choice(self.held)
        try:
            asked = moment()
            what = self.random.choice(["extend", "heartbeat", "progress", "wait"])
            if what == "extend":
                self.call("SELECT durable_work.extend_lease(%s, %s, '800 ms')", [one.job, one.token])
                self.write(did="accepted", op="extend", job=one.job, token=one.token, asked=asked)
            elif what == "heartbeat":
                self.call("SELECT count(*) FROM durable_work.heartbeat(%s)", [self.name])
            elif what == "progress":
                self.call("SELECT durable_work.set_progress(%s, %s, '{\"done\": 1}')", [one.job, one.token])
            else:
                self.call(f"CALL durable_work.wait_for_job({one.job}, '50 ms')")
        except Refused as refusal:
            self.refused("keep", refusal)

    # --- registered workers -----------------------------------------------------------------------

    def ring(self):
        """Names are shared, so a registration takes the place of another's."""
        try:
            if self.instance is None:
                self.worker = f"worker {self.random.randrange(6)}"
                self.instance = self.rows("SELECT durable_work.register_worker(%s, '{ring}', capacity => 50)", [self.worker])[0][0]
            what = self.random.choices(["claim", "heartbeat", "drain", "deregister"], [12, 3, 1, 1])[0]
            if what == "claim":
                self.claim("'ring'::text, %s, 10, owned_only => true, instance => %s, wait => '50 ms'", [self.worker, self.instance])
            elif what == "heartbeat":
                self.call("SELECT count(*) FROM durable_work.heartbeat(%s, instance => %s)", [self.worker, self.instance])
            elif what == "drain":
                self.call("SELECT durable_work.drain_worker(%s, %s::interval, %s)",
                          [self.worker, self.random.choice(["0", "500 ms"]), self.instance])
            else:
                self.call("SELECT durable_work.deregister_worker(%s, %s)", [self.worker, self.instance])
            if what in ("drain", "deregister"):
                self.instance = None
        except Refused as refusal:
            self.instance = None
            self.refused("ring", refusal)
        except Lost:
            if self.random.random() < 0.5:
                self.instance = None
            raise
        for _ in range(3):
            self.decide()
