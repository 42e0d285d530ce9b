"""`audit.py query --url`: the books of a running node, read like its database."""

import asyncio
import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from node.audit.errors import CannotAuditError, UnservedError
from node.audit.query import Filters
from node.audit.remote import fetch_rows
from node.cli.audit import app
from tests.lab.fixtures import Lab, lab, open_lab, tokens

__all__ = ["lab", "open_lab", "tokens"]


async def run(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, ["query", *arguments])


async def test_query__a_running_node__gives_what_its_database_gives(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.audit.remote.PAGE", 2)
    for number in range(3):
        assert (await lab.post(lab.body(content=f"words {number}"))).status_code == 200
    database = lab.node.ledger._store.engine.url.render_as_string()
    for kind in ("receipts", "charges", "vouchers"):
        by_url = await run(kind, "--url", lab.node.base_url, "--allow-private", "--format", "jsonl")
        by_db = await run(kind, "--db", database, "--format", "jsonl")
        assert by_url.exit_code == 0, by_url.output
        assert by_url.stdout == by_db.stdout
        assert len(by_url.stdout.splitlines()) == 3
    payer = "0x" + lab.payer.address.hex()
    for filters, count in ((("--payer", payer), 3), (("--payer", "0x" + "12" * 20), 0), (("--limit", "1"), 1)):
        done = await run("receipts", "--url", lab.node.base_url, "--allow-private", "--format", "csv", *filters)
        assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == count


async def test_query__private_node_without_the_owners_word__is_not_asked(lab: Lab) -> None:
    done = await run("receipts", "--url", lab.node.base_url)
    assert done.exit_code == 2
    assert "--allow-private" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--db", "x.db", "--url", "http://x")])
async def test_query__no_source_or_two__says_what_to_name(arguments: tuple[str, ...]) -> None:
    done = await run("receipts", *arguments)
    assert done.exit_code == 2
    assert "--db DATABASE or --url NODE" in done.stderr


class Pages:
    """A web reader that gives these documents, one after the other."""

    def __init__(self, *documents: object) -> None:
        self.documents = list(documents)
        self.asked: list[Mapping[str, object]] = []

    def get_json(self, _base: str, _path: str, parameters: Mapping[str, object]) -> object:
        self.asked.append(parameters)
        document = self.documents.pop(0)
        if isinstance(document, Exception):
            raise document
        return document


EVENT = {"block_number": 7, "timestamp": 9, "log_index": 0, "tx_hash": "0x", "contract": "escrow", "name": "Allotted"}


def test_fetch_rows__events__have_our_names() -> None:
    page = {"rows": [{**EVENT, "kind": "pair", "subject": "0x", "args": "{}", "block_hash": "0x01"}], "next": None}
    (row,) = fetch_rows(Pages(page), "u", "events", Filters(since=5, until=6))  # type: ignore[arg-type]
    assert (row["block"], row["at"]) == (7, 9)


@pytest.mark.parametrize(
    "document", [[], {"rows": 3, "next": None}, {"rows": [3], "next": None}, {"rows": []}, UnservedError("HTTP 404")]
)
def test_fetch_rows__not_a_page__cannot_be_audited(document: object) -> None:
    with pytest.raises(CannotAuditError):
        list(fetch_rows(Pages(document), "u", "receipts", Filters()))  # type: ignore[arg-type]


def test_fetch_rows__row_of_another_shape__cannot_be_audited() -> None:
    with pytest.raises(CannotAuditError, match="another version"):
        list(fetch_rows(Pages({"rows": [{"payer": "0x"}], "next": None}), "u", "receipts", Filters()))  # type: ignore[arg-type]


def test_fetch_rows__page_that_points_back__is_no_endless_loop() -> None:
    page = json.loads(json.dumps({"rows": [], "next": "1-1"}))
    with pytest.raises(CannotAuditError, match="circle"):
        list(fetch_rows(Pages(page, page), "u", "receipts", Filters()))  # type: ignore[arg-type]
