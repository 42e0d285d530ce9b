"""The same rows as `query`, from a running node's public `/ledger/...` pages: no access to its database is needed.

What a node says there is its word: `verify` is what proves it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from node.audit.crypto import hexed
from node.audit.errors import CannotAuditError, UnservedError
from node.audit.query import KINDS, Filters, column_names
from node.audit.web import Web

PAGE = 1_000
"""The longest page a node gives."""
OTHER_NAMES: Mapping[str, str] = {"block": "block_number", "at": "timestamp"}
"""What the pages call our columns."""


def fetch_rows(web: Web, base: str, kind: str, filters: Filters) -> Iterator[dict[str, Any]]:
    """The rows, oldest first, as `query.select` gives them. Raises CannotAuditError."""
    names, amounts = column_names(kind), KINDS[kind].amounts
    left, after = filters.limit, ""
    while True:
        asked = min(left, PAGE) if filters.limit else PAGE
        document = _page(web, base, kind, _parameters(filters, asked, after))
        for row in document["rows"]:
            yield _plain(row, names, amounts, kind)
        left -= len(document["rows"])
        following = document["next"]
        if following is None or (filters.limit and left <= 0):
            return
        if following == after or not document["rows"]:
            raise CannotAuditError(f"{base}: its pages go in a circle at {following!r}")
        after = str(following)


def _parameters(filters: Filters, limit: int, after: str) -> dict[str, str | int]:
    wanted: dict[str, str | int] = {"format": "json", "limit": limit}
    for name in ("payer", "payee"):
        if address := getattr(filters, name):
            wanted[name] = hexed(address)
    for name in ("since", "until"):
        if (moment := getattr(filters, name)) is not None:
            wanted[name] = moment
    return wanted | ({"after": after} if after else {})


def _page(web: Web, base: str, kind: str, parameters: Mapping[str, str | int]) -> dict[str, Any]:
    try:
        document = web.get_json(base, f"/ledger/{kind}", parameters)
    except UnservedError as exc:
        raise CannotAuditError(f"{base} does not give its {kind}: {exc.reason}") from exc
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or "next" not in document:
        raise CannotAuditError(f"{base}/ledger/{kind} is no page of rows; is this a node of ours?")
    return {"rows": rows, "next": document["next"]}


def _plain(row: Mapping[str, Any], names: Sequence[str], amounts: frozenset[str], kind: str) -> dict[str, Any]:
    try:
        found = {name: row[OTHER_NAMES.get(name, name) if kind == "events" else name] for name in names}
        return {name: int(value) if name in amounts and value is not None else value for name, value in found.items()}
    except (KeyError, TypeError, ValueError) as exc:
        raise CannotAuditError(f"a row of {kind} lacks or garbles {exc}: another version of the node?") from exc
