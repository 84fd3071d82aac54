"""Compares the books of the clients with what the server holds in the end.

A rule looks at so many things and finds some of them wrong; a rule that found nothing to look at is broken too.
"""

import collections

from queues import ORDERED, SWEPT, max_attempts


class Holding:
    """What the server holds."""

    def __init__(self, connection):
        def rows(query):
            return connection.execute(query).fetchall()
        self.transactions = [name for name, in rows("SELECT name FROM tx WHERE name <> 'restore point'")]
        self.receipts = rows("SELECT job_id, token, tx FROM receipt")
        self.effects = rows("SELECT key, tx FROM effect")
        self.jobs = rows("SELECT id, queue, payload->>'key', status FROM durable_work.inbox")
        self.dead = rows("SELECT job_id, queue, payload->>'key' FROM durable_work.dead_letters")
        self.differences = rows("SELECT * FROM differences")
        self.unfinished = rows("SELECT queue, unfinished FROM durable_work.queue_stats WHERE unfinished IS DISTINCT FROM 0")
        self.left = rows("SELECT 'prepared transaction', gid FROM pg_prepared_xacts UNION ALL"
                         " SELECT 'lease', job_id::text FROM durable_work.leases UNION ALL"
                         " SELECT 'worker', worker FROM durable_work.workers UNION ALL"
                         " SELECT 'blocked key', partition_key FROM durable_work.blocked_keys('ordered') UNION ALL"
                         " SELECT 'redrive', id::text FROM durable_work.redrives WHERE state = 'running'")
        self.alarms = rows("SELECT \"check\", seen FROM durable_work.health() WHERE severity = 'critical' AND \"check\" <> 'log'")


class Rules:
    def __init__(self):
        self.results = {}

    def rule(self, text, looked_at, wrong):
        self.results[text] = (looked_at, list(wrong) if looked_at else ["there was nothing to look at"])

    def broken(self):
        return [text for text, (_, wrong) in self.results.items() if wrong]

    def show(self):
        for text, (looked_at, wrong) in self.results.items():
            print(f"{'broken' if wrong else 'ok'}: {text} ({looked_at} looked at)")
            for example in wrong[:10]:
                print(f"    {example}")


class Audit(Rules):
    """past: (asked, told) of the restore point to which this server was brought; None for the whole history. gap: the time in
    which the old primary may have shown commits that did not reach the new one and that were acknowledged to nobody."""

    def __init__(self, books, holding, past=None, gap=(0, 0)):
        super().__init__()
        self.books, self.holding, self.past, self.gap = books, holding, past, gap
        self.there = set(holding.transactions)
        self.present = [one for one in books.transactions.values() if one.name in self.there]
        self.enqueues = [(one, line) for one in self.present for line in one.enqueues]
        # Where a job that nobody was told of shows.
        self.seen_keys = {line["key"] for line in books.claims} | {key for _, _, key in holding.dead}
        self.check_transactions()
        self.check_jobs()
        self.check_receipts()
        self.check_keys_once()
        if past is None:
            self.check_claims()
            self.check_order()
            self.check_attempts()
            self.check_payloads()
        self.check_rest()

    # --- transactions -----------------------------------------------------------------------------

    def check_transactions(self):
        all_of_them = self.books.transactions.values()
        if self.past is None:
            acknowledged = [one for one in all_of_them if one.committed_at() is not None]
            refused = [one for one in all_of_them if one.rolled_back()]
        else:
            asked, told = self.past
            acknowledged = [one for one in all_of_them if (one.committed_at() or told) < asked]
            refused = [one for one in all_of_them if not one.name.startswith("past-")
                       and (self.after(one, told) or (one.rolled_back() and not one.was_prepared))]
        self.rule("every transaction that was acknowledged is there", len(acknowledged),
                  [one.name for one in acknowledged if one.name not in self.there])
        self.rule("no transaction is there that was rolled back, or that nobody asked to commit", len(refused),
                  [one.name for one in refused if one.name in self.there])
        self.rule("no transaction is there twice or unheard of", len(self.there),
                  [name for name, times in collections.Counter(self.holding.transactions).items()
                   if times > 1 or name not in self.books.transactions])

    @staticmethod
    def after(one, told):
        return one.asked_at is not None and one.asked_at > told

    # --- jobs ---------------------------------------------------------------------------------------

    def check_jobs(self):
        """Every job that was enqueued is one job, in one state, and nothing else is a job."""
        finished = collections.defaultdict(list)
        for job, _, _ in self.holding.receipts:
            finished[job].append("completed")
        for one in self.present:
            for line in one.effects:
                if line["did"] in ("cancelled", "discarded"):
                    finished[line["job"]].append(line["did"])
        for job, _, _ in self.holding.dead:
            finished[job].append("dead letter")
        status = {job: state for job, _, _, state in self.holding.jobs}
        numbers = collections.defaultdict(set)
        for job, queue, key, _ in self.holding.jobs:
            numbers[queue, key].add(job)
        swept = {queue: max((one.ended_at or float("inf") for one in self.present for line in one.effects
                             if line["did"] == "swept" and line["queue"] == queue), default=0) for queue in SWEPT}

        def lost(one, line):
            if "job" in line:
                if not line["inserted"] or finished[line["job"]] or line["job"] in status:
                    return False
            elif line["idem"] is not None or numbers[line["queue"], line["key"]]:
                return False        # it may be a job that was there before
            elif line["key"] in self.seen_keys:
                return False
            return not (line["queue"] in SWEPT and swept[line["queue"]] > line["at"])

        self.rule("every job that was enqueued is still there, or was finished", len(self.enqueues),
                  [(one.name, line) for one, line in self.enqueues if lost(one, line)])
        self.rule("no job was finished twice", len(finished), [(job, states) for job, states in finished.items() if len(states) > 1])

        def differs(job, queue, state):
            states = finished[job]
            if state == "cancelled":
                return not states and queue not in SWEPT or states not in ([], ["cancelled"], ["discarded"])
            return states != {"completed": ["completed"], "dead_letter": ["dead letter"]}.get(state, [])
        self.rule("the state of each job is what its finisher was told", len(self.holding.jobs),
                  [(job, queue, state, finished[job]) for job, queue, _, state in self.holding.jobs if differs(job, queue, state)])

        keys = {line["key"] for _, line in self.enqueues}
        self.rule("no job that nobody enqueued", len(self.holding.jobs) + len(self.holding.dead),
                  [row for row in self.holding.jobs + self.holding.dead if row[2] not in keys])
        for _, line in self.enqueues:
            if line.get("inserted"):
                numbers[line["queue"], line["key"]].add(line["job"])
        for line in self.books.claims if self.past is None else []:
            numbers[line["queue"], line["key"]].add(line["job"])
        self.rule("no enqueue made two jobs", len(numbers),
                  [(queue, key, list(jobs)) for (queue, key), jobs in numbers.items() if queue != "unique" and len(jobs) > 1])

    def check_receipts(self):
        told = collections.Counter((line["job"], line["token"]) for one in self.present for line in one.accepted
                                   if line["op"] == "complete")
        kept = collections.Counter((job, token) for job, token, _ in self.holding.receipts)
        self.rule("every completion that was accepted and committed is kept", len(told), (told - kept).elements())
        # A lost answer: the transaction is there, and so is its receipt, and nobody was told.
        unanswered = {one.name for one in self.present if one.how in (None, "unknown")}
        self.rule("no completion is kept that was not accepted", len(kept),
                  [(job, token, name) for job, token, name in self.holding.receipts
                   if name not in self.there or (told[job, token] == 0 and name not in unanswered)])
        times = collections.Counter(job for job, _, _ in self.holding.receipts)
        self.rule("no job was completed twice", len(times), [job for job, count in times.items() if count > 1])

    def check_keys_once(self):
        marked = collections.Counter(line["key"] for one in self.present for line in one.effects if line["did"] == "marked")
        kept = collections.Counter(key for key, _ in self.holding.effects)
        self.rule("an effect that was marked as handled happened once", len(kept),
                  [key for key, count in (kept | marked).items() if count > 1])

    # --- claims ---------------------------------------------------------------------------------------

    def check_claims(self):
        claims = [line for line in self.books.claims if "again" not in line]
        by_token = collections.defaultdict(set)
        for line in claims:
            by_token[line["token"]].add((line["job"], line["asked"]))
        for line in self.books.claims:
            by_token[line["token"]].add((line["job"], None))
        self.rule("no token was given twice", len(claims),
                  [(token, list(given)) for token, given in by_token.items() if len(given) > 2])

        self.claims_of = collections.defaultdict(list)
        for line in self.books.claims:
            self.claims_of[line["job"]].append(line)
        falling = []
        for job, own in self.claims_of.items():
            own.sort(key=lambda line: (line["token"], line["asked"]))
            earliest = float("inf")
            for line in reversed(own):
                # A claim that was answered before another was asked for must have the lower token.
                if earliest < line["asked"] and "again" not in line:
                    falling.append((job, line["token"]))
                earliest = min(earliest, line["told"])
        self.rule("the tokens of a job rise", sum(len(own) > 1 for own in self.claims_of.values()), falling)
        self.check_stale()

        keys = {line["key"] for _, line in self.enqueues}
        self.rule("no job was handed out whose enqueue did not commit", len(self.books.claims),
                  [line for line in self.books.claims if line["key"] not in keys and not self.gap[0] <= line["told"] <= self.gap[1]])

    def check_stale(self):
        dropped = {}
        for one in self.books.transactions.values():
            if one.how == "rolled back":
                dropped[one.name] = one.ended_at
        stale = []
        for line in self.books.accepted:
            for claim in self.claims_of[line["job"]]:
                later = claim["token"] > line["token"] and claim["told"] < line["asked"]
                undone = (claim["token"] == line["token"] and claim.get("tx") in dropped and line.get("tx") != claim["tx"]
                          and dropped[claim["tx"]] < line["asked"])
                if later or undone:
                    stale.append((line["op"], line["job"], line["token"], claim["token"]))
        self.rule("nothing was accepted with a token that was no longer the current one", len(self.books.accepted), stale)

        token_of = {job: token for job, token, _ in self.holding.receipts}
        over = {}
        for one in self.present:
            for line in one.effects:
                if line["did"] in ("cancelled", "discarded") and one.committed_at() is not None:
                    over[line["job"]] = one.committed_at()
        again = [(line["job"], line["token"]) for line in self.books.claims
                 if line["token"] > token_of.get(line["job"], float("inf"))
                 or ("again" not in line and line["asked"] > over.get(line["job"], float("inf")))]
        self.rule("no job was handed out after it was finished", len(token_of) + len(over), again)

    def check_order(self):
        of_key = collections.defaultdict(list)
        for one, line in self.enqueues:
            if line["queue"] in ORDERED and line.get("inserted"):
                of_key[line["queue"], line["pkey"]].append((line["job"], line["at"], one))
        completed = collections.defaultdict(list)
        for line in self.books.accepted:
            if line["op"] == "complete":
                completed[line["job"]].append(line["asked"])
        early, together, pairs = [], [], 0
        for key, jobs in of_key.items():
            jobs.sort(key=lambda row: row[0])
            for (first, _, its), (second, asked, other) in zip(jobs, jobs[1:]):
                # What was prepared is taken in a moment after COMMIT PREPARED.
                known = its is other or (not its.was_prepared and (its.committed_at() or float("inf")) < asked)
                if not known or not self.claims_of[second] or not self.claims_of[first]:
                    continue
                pairs += 1
                last = max(line["token"] for line in self.claims_of[first])
                begin = min(self.claims_of[second], key=lambda line: line["token"])
                if last > begin["token"]:
                    early.append((key, first, second, last, begin["token"]))
                if any(end > begin["told"] for end in completed[first]):
                    together.append((key, first, second))
        self.rule("no job of a key was handed out before one that was enqueued earlier", pairs, early)
        self.rule("no two jobs of a key were in flight at a time", pairs, together)

    def check_attempts(self):
        limit = {line["job"]: line["max"] for _, line in self.enqueues if line.get("inserted") and line["max"]}
        self.rule("attempts are within their bounds", len(self.books.claims),
                  [(line["queue"], line["job"], line["attempt"]) for line in self.books.claims
                   if not 1 <= line["attempt"] <= limit.get(line["job"], max_attempts(line["queue"]))])
        given_back = collections.Counter(line["job"] for line in self.books.accepted if line["op"] in ("release", "defer"))
        spent = collections.defaultdict(set)
        for line in self.books.claims:
            if line["queue"] in ("once", "durable"):
                spent[line["queue"], line["job"]].add(line["token"])
        self.rule("claims that are on disk count for ever", len(spent),
                  [(queue, job, len(tokens)) for (queue, job), tokens in spent.items()
                   if len(tokens) - given_back[job] > max_attempts(queue)])

    def check_payloads(self):
        """A claim brings the payload that was given last."""
        revised = collections.defaultdict(list)
        for one in self.present:
            for line in one.effects:
                if line["did"] == "revised" and one.committed_at() is not None:
                    revised[line["job"]].append((one.committed_at(), line["rev"]))
        old = [(line["job"], line["rev"]) for line in self.books.claims
               if "again" not in line and int(line["rev"]) < max((rev for told, rev in revised[line["job"]] if told < line["asked"]), default=0)]
        self.rule("no claim brought a payload that had been replaced", sum(map(len, revised.values())), old)

    # --- the end ----------------------------------------------------------------------------------------

    def check_rest(self):
        self.rule("the counters are those of a full count", 1, self.holding.differences)
        self.rule("everything could be worked off", 1,
                  self.holding.unfinished + [row for row in self.holding.jobs if row[3] in ("pending", "processing")])
        self.rule("nothing is left over", 1, self.holding.left)
        self.rule("health() knows nothing critical", 1, self.holding.alarms)
        self.rule("no client saw anything that may not happen", 1, self.books.complaints)
