"""A client's receipts from a file: its wallet (SQLite), a JSON list, JSON Lines, or an object with `receipts`.

Rows are as `GET /v1/receipts` gives them; terms and voucher may be missing. The wallet is opened so that it cannot be
written.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson

from node.audit.crypto import hexed
from node.audit.documents import Entry, parse_held
from node.audit.errors import CannotAuditError, MalformedError

_SQLITE = b"SQLite format 3\x00"
_WALLET_ROWS = """SELECT receipt.message, receipt.signature, purchase.terms, answer.message, answer.signature
FROM receipt JOIN purchase USING (payer, payee, lane, request_id)
LEFT JOIN {answer} USING (payer, payee, lane, request_id)"""
_NO_ANSWERS = "(SELECT NULL payer, NULL payee, NULL lane, NULL request_id, NULL message, NULL signature) AS answer"
"""For wallets of a version that kept none."""
_HAS_ANSWERS = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'answer'"


def load_held(path: Path) -> list[Entry]:
    """A client's receipts. Raises CannotAuditError naming the row that cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise CannotAuditError(f"cannot read the receipts file {path}: {exc.strerror}") from exc
    rows = _wallet(path) if raw.startswith(_SQLITE) else _rows(raw, path)
    entries = []
    for number, row in enumerate(rows, start=1):
        try:
            entries.append(parse_held(row))
        except MalformedError as exc:
            raise CannotAuditError(f"{path}, receipt {number}: {exc}") from exc
    return entries


def _rows(raw: bytes, path: Path) -> Iterator[object]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        document = [_line(line, path) for line in raw.splitlines() if line.strip()]
    if isinstance(document, dict):
        document = document.get("receipts", [document])
    if not isinstance(document, list):
        raise CannotAuditError(f"{path} holds no list of receipts")
    yield from document


def _line(line: bytes, path: Path) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise CannotAuditError(f"{path} is neither JSON nor JSON Lines ({exc})") from exc


def _wallet(path: Path) -> Iterator[object]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as wallet:
            (has_answers,) = wallet.execute(_HAS_ANSWERS).fetchone()
            query = _WALLET_ROWS.format(answer="answer" if has_answers else _NO_ANSWERS)
            for message, signature, terms, answer, word in wallet.execute(query):
                document = {"receipt": orjson.loads(message), "terms": orjson.loads(terms)}
                if answer is not None:
                    document["answer"] = {"answer": orjson.loads(answer), "signature": hexed(word)}
                yield document | {"signature": hexed(signature)}
    except (sqlite3.Error, orjson.JSONDecodeError, TypeError) as exc:
        raise CannotAuditError(f"{path} is a database, but no client's wallet ({exc})") from exc
