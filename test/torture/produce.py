"""What producers and operators do: enqueues in all forms, changes of jobs that wait, calls of an operator."""

import json

from psycopg.types.json import Jsonb

from queues import KEYED, QUEUES, REDRIVEN

ENQUEUE = ("SELECT job_id, inserted FROM durable_work.enqueue(%(queue)s, %(payload)s, partition_key => %(pkey)s,"
           " idempotency_key => %(idem)s, priority => %(priority)s, delay => %(delay)s::interval, max_attempts => %(max)s,"
           " headers => %(headers)s, expires_at => clock_timestamp() + %(expires)s::interval,"
           " unique_while => %(unique)s, on_duplicate => %(duplicate)s)")
SINGLE = "WITH t AS (INSERT INTO tx VALUES (%(tx)s)) " + ENQUEUE


class Producer:
    def pick_queue(self):
        return self.random.choice([name for name in QUEUES if name != "unique"])

    def new_key(self):
        self.keys += 1
        return f"{self.name}-{self.keys}"

    def partition_key(self, queue):
        """Keys are this client's own: nobody else enqueues to them meanwhile."""
        return f"{self.name}:{self.random.randrange(4)}" if queue in KEYED else None

    def one_job(self, queue):
        chance = self.random.random
        key = self.new_key()
        job = {"queue": queue, "key": key, "pkey": self.partition_key(queue), "idem": None, "unique": "window", "duplicate": "return",
               "priority": self.random.randrange(10) if chance() < 0.3 else 4, "max": 2 if chance() < 0.05 else None,
               "delay": self.random.choice(["0", "50 ms", "500 ms", "2 s"]) if chance() < 0.2 else None,
               "headers": Jsonb({"from": self.name}) if chance() < 0.3 else None,
               "expires": "3 s" if chance() < 0.02 and queue in ("load", "fair") else None}
        if queue == "unique":
            job.update(key=f"u{self.random.randrange(30)}", max=None, unique=self.random.choice(["pending", "active"]),
                       duplicate=self.random.choice(["return", "return", "replace", "error"]))
            job["idem"] = job["key"]
        elif chance() < 0.15:
            job["idem"] = key
            self.repeatable.append(job)
        if job["expires"]:
            job["delay"] = None
        job["payload"] = Jsonb({"key": job["key"], "rev": 0})
        return job

    def enqueue(self, transaction, job, statement=ENQUEUE):
        transaction.note("enqueue", queue=job["queue"], key=job["key"], pkey=job["pkey"], max=job["max"], idem=job["idem"])
        number, inserted = self.rows(statement, {**job, "tx": transaction.name})[0]
        transaction.note("enqueued", key=job["key"], job=number, inserted=inserted)
        if inserted:
            self.mine.append((number, job["queue"], job["key"]))

    def enqueue_single(self):
        self.single("enqueue", lambda transaction: self.enqueue(transaction, self.one_job(self.pick_queue()), SINGLE))

    def enqueue_again(self):
        """A caller that does not know whether its last try arrived."""
        if self.repeatable:
            self.single("enqueue again", lambda transaction: self.enqueue(transaction, self.random.choice(self.repeatable), SINGLE))

    def enqueue_unique(self):
        self.unit("enqueue unique", lambda transaction: self.enqueue(transaction, self.one_job("unique")), self.style())

    def enqueue_some(self, transaction):
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.choices([self.in_savepoint, self.by_view, self.by_copy, self.by_block, self.by_many], [4, 2, 1, 2, 2])[0]
            kind(transaction)

    def in_savepoint(self, transaction):
        with transaction.savepoint("enqueue", undo=self.random.random() < 0.25):
            self.enqueue(transaction, self.one_job(self.pick_queue()))
            if self.random.random() < 0.3:
                with transaction.savepoint("enqueue", undo=self.random.random() < 0.5):
                    self.enqueue(transaction, self.one_job(self.pick_queue()))

    def by_view(self, transaction):
        queue = self.pick_queue()
        key, pkey = self.new_key(), self.partition_key(queue)
        transaction.note("enqueue", queue=queue, key=key, pkey=pkey, max=None, idem=None)
        number = self.rows("INSERT INTO durable_work.inbox (queue, payload, partition_key) VALUES (%s, %s, %s) RETURNING id",
                           [queue, Jsonb({"key": key, "rev": 0}), pkey])[0][0]
        transaction.note("enqueued", key=key, job=number, inserted=True)

    def by_copy(self, transaction):
        keys = [self.new_key() for _ in range(3)]
        for key in keys:
            transaction.note("enqueue", queue="load", key=key, pkey=None, max=None, idem=None)
        with self.answers(), self.connection.cursor() as cursor:
            with cursor.copy("COPY durable_work.inbox (queue, payload) FROM STDIN") as copy:
                for key in keys:
                    copy.write_row(["load", json.dumps({"key": key, "rev": 0})])

    def by_block(self, transaction):
        """In a block of PL/pgSQL whose exception is caught."""
        undo = self.random.random() < 0.4
        key = self.new_key()
        if not undo:
            transaction.note("enqueue", queue="load", key=key, pkey=None, max=None, idem=None)
        number = self.rows("SELECT in_block('load', %s, %s)", [Jsonb({"key": key, "rev": 0}), undo])[0][0]
        if not undo:
            transaction.note("enqueued", key=key, job=number, inserted=True)

    def by_many(self, transaction):
        queue = self.pick_queue()
        count = 300 if queue in ("load", "bulk") and self.random.random() < 0.1 else self.random.randint(2, 12)
        keys = [self.new_key() for _ in range(count)]
        pkeys = [self.partition_key(queue) for _ in keys]
        for key, pkey in zip(keys, pkeys):
            transaction.note("enqueue", queue=queue, key=key, pkey=pkey, max=None, idem=None)
        rows = self.rows("SELECT job_id, inserted FROM durable_work.enqueue_many(%s, %s::jsonb[], partition_keys => %s::text[],"
                         " priorities => %s::int[]) ORDER BY ordinal",
                         [queue, [json.dumps({"key": key, "rev": 0}) for key in keys], pkeys,
                          [self.random.randrange(10) if self.random.random() < 0.3 else 4 for _ in keys]])
        for key, (number, inserted) in zip(keys, rows):
            transaction.note("enqueued", key=key, job=number, inserted=inserted)
            if len(rows) < 20:
                self.mine.append((number, queue, key))

    def produce(self):
        self.unit("produce", self.enqueue_some, self.style(), self.hurry())

    # --- changes --------------------------------------------------------------------------------

    def change(self):
        del self.mine[:-100]
        if self.mine:
            self.unit("change", self.change_one, self.style(), self.hurry())

    def change_one(self, transaction):
        number, queue, key = self.random.choice(self.mine)
        what = self.random.choice(["cancel", "reschedule", "update_payload"])
        with transaction.savepoint(what, undo=self.random.random() < 0.2):
            if what == "cancel":
                if self.rows("SELECT durable_work.cancel(%s)", [number])[0][0]:
                    transaction.note("cancelled", job=number)
            elif what == "reschedule":
                self.call("SELECT durable_work.reschedule(%s, clock_timestamp() + %s::interval)",
                          [number, self.random.choice(["0", "300 ms", "2 s"])])
            elif queue != "unique":     # its payload is what the next call compares with
                self.revision += 1
                self.call("SELECT durable_work.update_payload(%s, %s)", [number, Jsonb({"key": key, "rev": self.revision})])
                transaction.note("revised", job=number, rev=self.revision)

    # --- operators ------------------------------------------------------------------------------

    def operate(self):
        what = self.random.choice([self.redrive, self.redrive_slowly, self.discard, self.unblock, self.unblock, self.pause, self.sweep,
                                   self.purge, self.many, self.options])
        what()

    def redrive(self):
        queue = self.random.choice(REDRIVEN)
        self.unit("redrive", lambda transaction: self.call(
            "SELECT durable_work.redrive(%s, ARRAY(SELECT job_id FROM durable_work.dead_letters WHERE queue = %s ORDER BY random() LIMIT 5))",
            [queue, queue]), self.style())

    def redrive_slowly(self):
        self.unit("redrive at a rate", lambda transaction: self.call(
            "SELECT durable_work.redrive(%s, max_jobs => 5, rate_per_second => 50)", [self.random.choice(REDRIVEN)]), self.style())

    def discard(self):
        def body(transaction):
            for number, in self.rows("SELECT job_id FROM durable_work.dead_letters WHERE queue = 'load' ORDER BY random() LIMIT 1"):
                if self.rows("SELECT durable_work.discard_dead_letter(%s, 'load')", [number])[0][0]:
                    transaction.note("discarded", job=number)
        self.unit("discard", body, self.style())

    def unblock(self):
        def body(transaction):
            for key, in self.rows("SELECT partition_key FROM durable_work.blocked_keys('ordered') WHERE NOT ending LIMIT 5"):
                with transaction.savepoint("unblock_key"):
                    self.call("SELECT durable_work.unblock_key('ordered', %s, %s)",
                              [key, self.random.choice(["retry", "skip", "skip", "dead_letter"])])
        self.unit("unblock_key", body, self.style())

    def pause(self):
        queue = self.random.choice(list(QUEUES))
        self.unit("pause_queue", lambda transaction: self.call("SELECT durable_work.pause_queue(%s)", [queue]), self.style())
        self.unit("resume_queue", lambda transaction: self.call(
            "SELECT durable_work.resume_queue(queue) FROM durable_work.queues WHERE paused"))

    def sweep(self):
        def body(transaction):
            transaction.note("swept", queue="bulk")
            self.call("SELECT durable_work.cancel_many('bulk', older_than => '1 s', max_jobs => 50)")
        self.unit("cancel_many", body, self.style())

    def purge(self):
        def body(transaction):
            transaction.note("swept", queue="purged")
            self.call("SELECT durable_work.purge_queue('purged')")
        self.unit("purge_queue", body, self.style())

    def many(self):
        call = self.random.choice(["reschedule_many('bulk', clock_timestamp() + '200 ms')", "retry_now_many('load')",
                                   "reschedule_many('load', now(), filter => '$.headers ? (exists(@.from))')"])
        self.unit("change many", lambda transaction: self.call(f"SELECT durable_work.{call}"), self.style())

    def options(self):
        call = self.random.choice([
            "set_concurrency_limit('fair', 20)", "set_concurrency_limit('fair', NULL)", "set_key_weight('fair', 'x', 3)",
            "set_rate_limit('load', 5000)", "set_rate_limit('load', NULL)", "set_concurrency_limit('ring', 5, 'key')",
            "set_concurrency_limit('ring', NULL, 'key')", f"resize_buckets('ring', {self.random.randint(1, 400)})",
            f"alter_queue('load', lease => '{self.random.randint(500, 1500)} ms')", "reload()"])
        self.unit("options", lambda transaction: self.call(f"SELECT durable_work.{call}"), self.style())
