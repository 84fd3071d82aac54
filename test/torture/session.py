"""A client's connection and its transactions, with the lines of the journal that belong to them."""

import contextlib
import time

import psycopg

from journal import Journal

# Answers that a client of a busy, dying server may get; everything else is a complaint.
EXPECTED = {
    "DW001", "DW002", "DW005", "DW006",
    "0A000",            # PREPARE TRANSACTION of what is not in rows
    "23505",            # on_duplicate => 'error'
    "40P01", "55P03",   # deadlocks and lock_timeout: clients lock keys in any order
    "42704", "55000",   # somebody else decides the same prepared transaction
    "53200",            # test point
    "53400",            # too many of something
    "57014",            # timeouts and cancellations
    "DW007",            # PREPARE TRANSACTION right after a start
}
GONE = ("57P01", "57P02", "57P03", "25006")     # also a server that is not the primary any more


class Refused(Exception):
    def __init__(self, state, text):
        super().__init__(text)
        self.state = state


class Lost(Exception):
    """The connection is gone; what was asked and not answered may have happened or not."""


class Session:
    def __init__(self, dsn, journal, name):
        self.dsn = dsn
        self.journal = Journal(journal)
        self.write = self.journal.write
        self.name = name
        self.connection = None
        self.unsure = False
        self.transactions = 0

    def notice(self, diagnostic):
        if "synchronous replication" in (diagnostic.message_primary or ""):
            self.unsure = True

    def connect(self):
        try:
            self.connection = psycopg.connect(self.dsn, autocommit=True, connect_timeout=10)
            self.connection.add_notice_handler(self.notice)
            self.connection.execute("SET lock_timeout = '300 ms'")
        except psycopg.Error as error:
            self.close()
            raise Lost() from error

    def close(self):
        if self.connection is not None:
            with contextlib.suppress(psycopg.Error):
                self.connection.close()
        self.connection = None

    @contextlib.contextmanager
    def answers(self):
        """Tells an answer of the server from the loss of the connection."""
        try:
            yield
        except psycopg.Error as error:
            fatal = getattr(error.diag, "severity_nonlocalized", None) in ("FATAL", "PANIC")
            if error.sqlstate is None or error.sqlstate in GONE or error.sqlstate.startswith("08") or fatal or self.connection.closed:
                self.close()
                raise Lost() from error
            raise Refused(error.sqlstate, str(error)) from error

    def call(self, statement, parameters=None):
        with self.answers():
            return self.connection.execute(statement, parameters)

    def rows(self, statement, parameters=None):
        with self.answers():
            return self.connection.execute(statement, parameters).fetchall()

    def refused(self, what, refusal):
        self.write(did="refused", op=what, state=refusal.state)
        if refusal.state not in EXPECTED:
            self.write(did="complaint", text=f"{what}: {refusal.state} {refusal}")

    def unit(self, what, body, style="commit", hurry=None):
        """One transaction: body(transaction) and the end that style names. True if it is known to be committed."""
        transaction = Transaction(self)
        try:
            transaction.begin(hurry)
            body(transaction)
            return getattr(transaction, style)()
        except Refused as refusal:
            self.refused(what, refusal)
            transaction.ended("rolled back")
            self.call("ROLLBACK")
        except Lost:
            if not transaction.is_over:
                transaction.ended("unknown" if transaction.asked else "broken")
            raise
        return False

    def single(self, what, body):
        """One statement that is a transaction of its own; body gives transaction.row to the statement."""
        transaction = Transaction(self)
        self.unsure = False
        transaction.asked = True
        self.write(tx=transaction.name, did="commit")
        try:
            body(transaction)
            transaction.ended("unknown" if self.unsure else "committed")
        except Refused as refusal:
            self.refused(what, refusal)
            transaction.ended("rolled back")
        except Lost:
            transaction.ended("unknown")
            raise

    def decide_prepared(self, gid, how):
        name = gid.removeprefix("t ")
        self.unsure = False
        self.write(tx=name, did="decide", how=how)
        try:
            self.call(f"{how.upper()} PREPARED '{gid}'")
        except Refused as refusal:
            self.refused("decide", refusal)
            return
        if not self.unsure:
            self.write(tx=name, did="decided", how=how)


class Transaction:
    def __init__(self, session):
        session.transactions += 1
        self.session = session
        self.name = f"{session.name}-{session.transactions}"
        self.subs = [0]
        self.last_sub = 0
        self.asked = False
        self.is_over = False
        session.write(tx=self.name, did="begin")

    def note(self, did, **line):
        self.session.write(tx=self.name, sub=self.subs[-1], did=did, **line)

    def ended(self, how):
        self.is_over = True
        self.session.write(tx=self.name, did="end", how=how)

    def begin(self, hurry):
        self.session.call("BEGIN")
        if hurry:
            self.session.call(f"SET LOCAL statement_timeout = {hurry}")
        self.session.call("INSERT INTO tx VALUES (%s)", [self.name])

    def commit(self):
        self.session.unsure = False
        self.asked = True
        self.session.write(tx=self.name, did="commit")
        committed = self.session.call("COMMIT").statusmessage == "COMMIT"
        self.ended("rolled back" if not committed else "unknown" if self.session.unsure else "committed")
        return committed and not self.session.unsure

    def rollback(self):
        self.session.call("ROLLBACK")
        self.ended("rolled back")
        return False

    def prepare(self):
        self.session.unsure = False
        self.asked = True
        self.session.write(tx=self.name, did="prepare")
        prepared = self.session.call(f"PREPARE TRANSACTION 't {self.name}'").statusmessage == "PREPARE TRANSACTION"
        self.ended("rolled back" if not prepared else "unknown" if self.session.unsure else "prepared")
        return False

    @contextlib.contextmanager
    def savepoint(self, what, undo=False):
        """A refusal within it takes back what was done since, and the transaction goes on."""
        self.last_sub += 1
        sub = self.last_sub
        self.session.call(f"SAVEPOINT s{sub}")
        self.subs.append(sub)
        try:
            try:
                yield
                if not undo:
                    self.session.call(f"RELEASE s{sub}")
            except Refused as refusal:
                self.session.refused(what, refusal)
                undo = True
            if undo:
                self.note("undone", subs=list(range(sub, self.last_sub + 1)))
                self.session.call(f"ROLLBACK TO s{sub}; RELEASE s{sub}")
        finally:
            self.subs.pop()


def moment():
    return time.monotonic()
