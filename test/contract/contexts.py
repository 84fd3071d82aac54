"""The situations in which every call is tried."""

from connection import Connection


class Context:
    """attempt() tries a statement and returns (answer, outcome, did the call itself succeed)."""

    # What a call did here must be gone afterwards, or cannot have been done.
    undone = False

    def __init__(self, name, connection):
        self.name = name
        self.connection = connection

    def attempt(self, routine, statement):
        answer = self.connection.ask(statement)
        return answer, answer.outcome(routine.returns_set), not answer.failed


class Savepoint(Context):
    undone = True

    def attempt(self, routine, statement):
        self.connection.ask("BEGIN")
        self.connection.ask("SAVEPOINT call")
        answer = self.connection.ask(statement)
        self.connection.rows("ROLLBACK TO SAVEPOINT call")
        self.connection.rows("COMMIT")
        return answer, answer.outcome(routine.returns_set), not answer.failed


class Prepared(Context):
    """A transaction that is prepared and then rolled back."""

    undone = True

    def attempt(self, routine, statement):
        self.connection.ask("BEGIN")
        answer = self.connection.ask(statement)
        if answer.failed:
            self.connection.ask("ROLLBACK")
            return answer, answer.outcome(routine.returns_set), False
        prepare = self.connection.ask("PREPARE TRANSACTION 'contract'")
        if prepare.failed:
            return prepare, f"{prepare.state} at PREPARE TRANSACTION", True
        self.connection.rows("ROLLBACK PREPARED 'contract'")
        return answer, answer.outcome(routine.returns_set), True


class ParallelWorker(Context):
    """Inside a worker of a parallel query, behind a function that is marked safe and should not be."""

    undone = True

    def attempt(self, routine, statement):
        answer = self.connection.ask(f"SELECT contract.in_worker($statement${statement}$statement$)")
        return answer, answer.outcome(False), not answer.failed


def make(database, major, standby_host):
    """On the primary, and last the one on the standby."""
    force = {"force_parallel_mode" if major < 16 else "debug_parallel_query": "on"}
    parallel = Connection(database, settings=force)
    if not parallel.value("SELECT contract.is_worker()"):
        raise RuntimeError("the server starts no parallel workers")
    read_only = Context("read only", Connection(database, settings={"default_transaction_read_only": "on"}))
    standby = Context("standby", Connection(database, host=standby_host))
    read_only.undone = standby.undone = True
    return [
        Context("plain", Connection(database)),
        read_only,
        Prepared("prepared", Connection(database)),
        Savepoint("savepoint", Connection(database)),
        Context("parallel", parallel),
        ParallelWorker("parallel worker", parallel),
        Context("repeatable read", Connection(database, settings={"default_transaction_isolation": "repeatable read"})),
    ], standby
