"""`GET /ledger/...`: the books for auditors as JSON pages or whole exports. Parses filters and format, no more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from node.api.exports import Batches, Columns, is_parquet_here, to_csv, to_jsonl, to_parquet
from node.api.reads import address_of_query
from node.core.errors import BadRequest
from node.core.rows import COLUMNS, LONGEST_PAGE, ROWS_START, RowCursor, RowFilters, RowKind
from node.core.types import Seconds
from node.services.ledger_rows import LedgerRows

Time = Annotated[int | None, Query(ge=0, lt=2**40)]
RowLimit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]
Format = Literal["json", "csv", "jsonl", "parquet"]
EXPORT_SECONDS = 600.0
"""A reader slower than this gets a cut stream: exports are few at once, and others wait."""
MEDIA_TYPES: Mapping[str, Format] = {
    "*/*": "json",
    "application/*": "json",
    "application/json": "json",
    "text/csv": "csv",
    "text/*": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class Export:
    """How a format is written."""

    media_type: str
    write: Callable[[Batches, Columns], AsyncIterator[bytes]]


EXPORTS: Mapping[Format, Export] = {
    "csv": Export("text/csv; charset=utf-8", to_csv),
    "jsonl": Export("application/jsonl", to_jsonl),
    "parquet": Export("application/vnd.apache.parquet", to_parquet),
}


def ledger_routes(ledger_rows: LedgerRows) -> APIRouter:
    """What an auditor reads."""
    router = APIRouter()

    @router.get("/ledger/{kind}")
    async def list_rows(
        request: Request,
        kind: RowKind,
        filters: Annotated[RowFilters, Depends(filters_of)],
        page: Annotated[tuple[RowCursor, int], Depends(page_of)],
        form: Annotated[Format | None, Query(alias="format")] = None,
    ) -> Any:  # noqa: ANN401 -- a document or a stream
        chosen = form or format_of(request.headers.get("accept", "*/*"))
        if chosen != "json":
            return await _export(ledger_rows, kind, filters, chosen)
        rows, following = await ledger_rows.page(kind, filters, *page)
        return {"kind": kind, "rows": rows, "next": f"{following[0]}-{following[1]}" if following else None}

    return router


def filters_of(
    payer: str | None = None,
    payee: str | None = None,
    lane: str | None = None,
    since: Time = None,
    until: Time = None,
) -> RowFilters:
    """Raises BadRequest naming the parameter."""
    return RowFilters(
        payer=None if payer is None else address_of_query(payer, "payer"),
        payee=None if payee is None else address_of_query(payee, "payee"),
        lane=None if lane is None else address_of_query(lane, "lane"),
        since=None if since is None else Seconds(since),
        until=None if until is None else Seconds(until),
    )


def page_of(after: str = "", limit: RowLimit = 100) -> tuple[RowCursor, int]:
    """`after` is the `next` of the page before. Raises BadRequest."""
    if not after:
        return ROWS_START, limit
    numbers = after.split("-")
    if len(numbers) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in numbers):
        raise BadRequest("after must be the `next` of an earlier page", param="after")
    first, second = map(int, numbers)
    if max(first, second) >= 2**63:
        raise BadRequest("after must be the `next` of an earlier page", param="after")
    return (first, second), limit


def format_of(accept: str) -> Format:
    """The first media type that there is, in the caller's order. Raises 406."""
    for part in accept.split(","):
        known = MEDIA_TYPES.get(part.partition(";")[0].strip().lower())
        if known is not None:
            return known
    raise HTTPException(406, f"this route speaks {', '.join(MEDIA_TYPES)}; or say ?format=json|csv|jsonl|parquet")


async def _export(ledger_rows: LedgerRows, kind: RowKind, filters: RowFilters, form: Format) -> Response:
    if form == "parquet" and not is_parquet_here():
        raise HTTPException(406, "this node cannot write Parquet (its extra is not installed): use format=csv or jsonl")
    export, slot = EXPORTS[form], AsyncExitStack()
    batches = await slot.enter_async_context(ledger_rows.stream(kind, filters))

    headers = {"content-disposition": f'attachment; filename="{kind}.{form}"'}
    return _Exported(slot, export.write(batches, COLUMNS[kind]), media_type=export.media_type, headers=headers)


class _Exported(StreamingResponse):
    """Gives its slot back however it ends: a caller that left before the first byte must not keep it."""

    def __init__(self, slot: AsyncExitStack, body: AsyncIterator[bytes], **shown: Any) -> None:  # noqa: ANN401
        super().__init__(body, **shown)
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without its end when the time is up: the server then cuts the connection."""
        async with self._slot:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXPORT_SECONDS):
                    await super().__call__(scope, receive, send)
