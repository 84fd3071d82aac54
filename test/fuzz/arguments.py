"""Random values for arguments and columns, as the bytes of a text parameter; None is NULL.

Most of them are such that a call gets somewhere, by the name of the argument; all are when `tame`. The others are the ends
of a type's range, texts of every length and content, and what no parser takes.
"""

QUEUES = ["plain", "plain", "plain", "keyed", "keyed", "fair", "dying", "durable", "once", "full", "o'clock \"1\" \\ %s {}", "made 1", "made 2", "nowhere"]
KEYS = ["a", "b", "c", "", "\xe9t\xe9", "\u20ac", "\U0001f600"]
WORKERS = ["w1", "w2", "w3", "\xfcn\xef", "w 'quoted' \"name\""]
WORDS = {
    "action": ["retry", "skip", "dead_letter"],
    "backoff": ["exponential", "linear", "fixed"],
    "delivery": ["at_least_once", "at_most_once"],
    "fairness": ["none", "key"],
    "on_duplicate": ["return", "replace", "error"],
    "on_exhausted": ["skip", "hold", "dead_letter_key"],
    "ordering": ["none", "key"],
    "overflow": ["reject", "drop_oldest"],
    "scope": ["queue", "key", "group"],
    "right": ["enqueue", "work", "operate", "monitor", "see", "any"],
    "unique_while": ["window", "pending", "active"],
    "status": ["pending", "processing", "completed", "dead_letter", "cancelled"],
    "role": ["fuzz_all", "fuzz_one", "fuzz_nobody", "public", "none"],
    "limit_group": ["partner", "other"],
    "max_payload": ["1 MB", "10", "255MB", "1 parsec"],
    "idempotency_key": ["k1", "k2", "k3", "k4"],
    "request_id": ["r1", "r2", "r3"],
    "resource": ["printer", "\xe9"],
    "handler": ["mail"],
    "key": ["a", "b"],
}
# Lengths around what names, keys and buffers take.
LENGTHS = [1, 62, 63, 64, 65, 126, 127, 128, 129, 255, 256, 257, 383, 384, 385, 510, 511, 512, 513, 1000, 1001, 1023, 1024, 1025, 2000, 8192]
CHARACTERS = ["x", "'", '"', "\\", "%", "{", "}", "$", " ", "\n", "\t", "\x01", "\x7f", "\xe9", "\xff", "\u20ac", "\u0301", "\u202e", "\uffff", "\U0001f600"]
ODD_TEXTS = ["", " ", "nonsense", "NULL", "null", "'); DROP TABLE durable_work.queue; --", "$$", "$fuzz$", "%s%n%d{}{0}", "\\", "a,b", "{a,b}", "pg_catalog", "durable_work"]
PATHS = ["$", "$.nothing", "strict $.nothing", "$.payload ? (@.n > 1)", '$.payload ? (@.name like_regex "^x.*(")', '$.payload ? (@.name like_regex "^x")',
         "$.a[*].double() / 0", "$[", "", "$.**{2 to last}", "$.x.datetime()", "lax $.payload.keyvalue()"]
BIGINTS = [0, 1, -1, 2**31 - 1, 2**31, -2**31, 2**32 - 1, 2**32, 2**33 - 1, 2**53, 2**63 - 1, -2**63, 2**63]
INTERVALS = ["0", "1 us", "-1 us", "5 ms", "20 ms", "1 s", "1 s", "1 min", "1 h", "-1 s", "1 day -25 hours", "1 mon", "36500 days", "36501 days", "178000000 years",
             "-178000000 years", "infinity", "-infinity", "2562047788 hours", "NaN", ""]
TIMES = ["now", "now", "infinity", "-infinity", "294276-12-31 23:59:59+00", "4713-01-01 00:00:00+00 BC", "2000-01-01", "2100-01-01 00:00:00+00", "2136-02-07 06:28:15+00",
         "2136-02-08 00:00:00+00", "294277-01-01", "1970-01-01"]
DOUBLES = ["0", "-0", "0.5", "1", "-1", "1e308", "1e309", "1e-320", "NaN", "Infinity", "-Infinity", "1000"]


def encoded(draw, text, session):
    if session.codec is None:
        return text.encode(draw.choice(["utf-8", "utf-8", "latin-1"]), "replace")
    return text.encode(session.codec, "replace")


def odd_text(draw, session):
    way = draw.random()
    if way < 0.4:
        return encoded(draw, draw.choice(ODD_TEXTS), session)
    if way < 0.5:
        # Bytes that are no text in most encodings, but for zeros, which no parameter can carry.
        return bytes(draw.randint(1, 255) for _ in range(draw.randint(1, 30)))
    length = 1048576 if way > 0.993 else draw.choice(LENGTHS)
    few = draw.sample(CHARACTERS, draw.randint(1, 3))
    if draw.random() < 0.6:
        few = few[:1]
    text = "".join(draw.choice(few) for _ in range(length)) if length < 10000 else (few[0] * length)[:length]
    raw = encoded(draw, text, session)
    # So long in bytes, which may cut a character.
    return raw[:length] if draw.random() < 0.2 else raw


def text(draw, name, session, tame):
    if not tame and draw.random() < 0.12:
        return odd_text(draw, session)
    if name in ("queue", "queues", "dead_letter_queue", "to_queue", "name"):
        return encoded(draw, draw.choice(QUEUES), session)
    if name in ("partition_key", "partition_keys", "sub_key"):
        return encoded(draw, draw.choice(KEYS), session)
    if name in ("worker", "workers", "before", "after"):
        return encoded(draw, draw.choice(WORKERS), session)
    return encoded(draw, draw.choice(WORDS.get(name, WORDS.get(name.removesuffix("s"), ODD_TEXTS + KEYS))), session)


def number(draw, name, session, lease, tame):
    if not tame and draw.random() < 0.08:
        return draw.choice(BIGINTS) + draw.choice([0, 0, 1, -1])
    if name in ("job_id", "id", "job_ids", "first_id", "last_id", "after_job_id"):
        return lease[0] if draw.random() < 0.8 else draw.choice(session.jobs)
    if name in ("lease_token", "lease_tokens"):
        return lease[1]
    if name == "instance":
        return draw.choice([0, 1, 2, 4294967296, 4294967297, 8589934591])
    return draw.choice([0, 1, 1, 2, 3, 5, 9, 10, 20, 100, 360, 1000])


def document(draw, tame):
    way = draw.random()
    if tame or way < 0.6:
        return b'{"n": %d, "name": "x%d"}' % (draw.randint(0, 9), draw.randint(0, 9))
    if way < 0.9:
        return draw.choice([b"null", b"[]", b"{}", b"1", b'""', b'"\\u0000"', b'"\\ud800"', b"1e400", b"1" * 200, b'{"a": 1, "a": 2}', b"", b"{", b"nonsense",
                            b'{"": {"": [null, true, 1.5]}}'])
    if way < 0.96:
        depth = draw.choice([10, 1000, 6000, 20000])
        return b"[" * depth + b"]" * depth if draw.random() < 0.5 else b'{"a":' * depth + b"1" + b"}" * depth
    if way < 0.99:
        return b'{"x": "' + b"x" * draw.choice([1000, 7000, 70000]) + b'"}'
    return b'{"x": "' + b"x" * 1048576 + b'"}'


def quoted(element):
    return b'"' + element.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def array(draw, name, kind, session, lease, tame):
    way = draw.random()
    if tame:
        return b"{" + quoted(value(draw, name, kind, session, lease, True)) + b"}"
    if way < 0.03:
        return draw.choice([b"", b"{", b"{{a},{b,c}}", b"{{}}", b"[0:0]={1}", b"{NULL}", b"{" + b"," * 50 + b"}"])
    count = draw.choice([0, 1, 1, 1, 2, 3, 5]) if way < 0.985 else draw.choice([64, 65, 1000, 10000])
    pool = [value(draw, name, kind, session, lease, False) for _ in range(min(count, 5))]
    members = [b"NULL" if each is None else quoted(each) for each in pool]
    if count > 5:
        # A statement has at most 1 GB.
        short = [each for each in members if len(each) < 2000] or [b"NULL"]
        members = [draw.choice(short) for _ in range(count)]
    body = b"{" + b",".join(members) + b"}"
    if way < 0.06:
        return b"{" + body + b"," + body + b"}"
    if way < 0.08 and count > 0:
        return b"[%d:%d]=" % (5, 4 + count) + body
    return body


def value(draw, name, kind, session, lease, tame):
    if not tame and draw.random() < 0.04:
        return None
    if kind.endswith("[]"):
        return array(draw, name, kind[:-2], session, lease, tame)
    if not tame and draw.random() < 0.004:
        return odd_text(draw, session)
    if kind in ("bigint", "integer", "smallint", "oid"):
        return str(number(draw, name, session, lease, tame)).encode()
    if kind == "boolean":
        return draw.choice([b"true", b"false"])
    if kind == "double precision":
        return b"0.5" if tame else draw.choice(DOUBLES).encode()
    if kind == "interval":
        return draw.choice(INTERVALS[3:9] if tame or draw.random() < 0.7 else INTERVALS).encode()
    if kind == "timestamp with time zone":
        return draw.choice(["now", "2100-01-01 00:00:00+00"] if tame else TIMES).encode()
    if kind == "jsonb":
        return document(draw, tame)
    if kind == "jsonpath":
        return draw.choice(PATHS[:2] if tame else PATHS).encode() if draw.random() < 0.95 else b"$.a" + b" + 1" * draw.choice([10, 1000, 100000])
    if kind == "bytea":
        return b"\\x" + bytes(draw.randint(0, 255) for _ in range(draw.choice([0, 1, 15, 16, 40, 2000]))).hex().encode()
    return text(draw, name, session, tame)
