"""A connection that sends plain text and keeps everything the server says, and classes of what comes back."""

import collections
import json
import re

from psycopg import pq

# What a result column is, by the server's type numbers.
BOOLEAN, INTEGERS, JSONB, TEXT, TIMESTAMPTZ, VOID = 16, (20, 21, 23), 3802, 25, 1184, 2278


class Lost(Exception):
    """The server closed the connection: it crashed, or ended this session."""


class Answer:
    def __init__(self, result):
        self.failed = result.status == pq.ExecStatus.FATAL_ERROR
        self.state = self.field(result, pq.DiagnosticField.SQLSTATE)
        self.message = self.field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
        self.detail = self.field(result, pq.DiagnosticField.MESSAGE_DETAIL)
        self.hint = self.field(result, pq.DiagnosticField.MESSAGE_HINT)
        self.file = self.field(result, pq.DiagnosticField.SOURCE_FILE)
        self.types = [result.ftype(column) for column in range(result.nfields)]
        self.rows = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]

    @staticmethod
    def field(result, which):
        value = result.error_field(which)
        return None if value is None else value.decode()

    def outcome(self, returns_set):
        """SQLSTATE, or the class of the value: the same from run to run."""
        if self.failed:
            return self.state
        rows = [", ".join(value_class(value, kind) for value, kind in zip(row, self.types)) for row in self.rows]
        if not returns_set:
            return "ok" if not rows or rows == [""] else f"ok: {rows[0]}"
        text = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
        counted = collections.Counter(rows)
        if len(counted) == 1:
            return f"{text}: {rows[0]}"
        return text + "".join(f"; {count} x {row}" for row, count in list(counted.items())[:4])


def value_class(value, kind):
    if kind == VOID:
        return ""
    if value is None:
        return "null"
    text = value.decode()
    if kind == BOOLEAN:
        return {"t": "true", "f": "false"}[text]
    if kind in INTEGERS:
        return text if abs(int(text)) < 1000 else "number"
    if kind == TIMESTAMPTZ:
        return text if "infinity" in text else "time"
    if kind == JSONB:
        return json_class(json.loads(text))
    if kind == TEXT:
        return text if re.fullmatch(r"[a-z_][a-z_ ]{0,40}", text) else "text"
    return "value"


def json_class(value):
    for kind, name in ((dict, "object"), (list, "array"), (str, "string"), (bool, "boolean"), ((int, float), "number")):
        if isinstance(value, kind):
            return name
    return "json null"


class Connection:
    """`host` null: what the PG variables say. `settings` hold for the session."""

    def __init__(self, database, host=None, settings=None):
        text = f"dbname={database} application_name=contract" + (f" host={host}" if host else "")
        self.link = pq.PGconn.connect(text.encode())
        self.link.notice_handler = None
        if self.link.status != pq.ConnStatus.OK:
            raise Lost(self.link.error_message.decode())
        for name, value in {"statement_timeout": "20s", **(settings or {})}.items():
            self.rows(f"SET {name} = '{value}'")

    def ask(self, statement):
        answer = Answer(self.link.exec_(statement.encode()))
        if self.link.status != pq.ConnStatus.OK:
            raise Lost(f"{answer.message or self.link.error_message.decode()}\n{statement[:500]}")
        return answer

    def rows(self, statement):
        """Rows of a statement that must work; numbers, booleans and JSON as such."""
        answer = self.ask(statement)
        if answer.failed:
            raise RuntimeError(f"{answer.state} {answer.message}\n{statement[:500]}")
        return [[self.read(value, kind) for value, kind in zip(row, answer.types)] for row in answer.rows]

    def value(self, statement):
        return self.rows(statement)[0][0]

    @staticmethod
    def read(value, kind):
        if value is None:
            return None
        text = value.decode()
        if kind == BOOLEAN:
            return text == "t"
        if kind in INTEGERS:
            return int(text)
        return json.loads(text) if kind in (114, JSONB) else text

    def in_transaction(self):
        return self.link.transaction_status != pq.TransactionStatus.IDLE
