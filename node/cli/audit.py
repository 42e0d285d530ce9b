"""`scripts/audit.py`: prove or refute a settlement ledger from the outside. Holds no key and changes nothing.

Exit status: 0 nothing is wrong, 1 there are findings, 2 it could not be audited (the message says what to do).
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as ProgressBar
from rich.progress import TaskID

from node.audit.chain import BLOOM_LIMIT_BLOCKS
from node.audit.crypto import octets_of
from node.audit.deployment import load_deployment
from node.audit.draw_audit import DrawAudit, audit_draw
from node.audit.draw_chain import DrawChain
from node.audit.duel_result import DuelAudit, duel_of
from node.audit.errors import CannotAuditError, MalformedError
from node.audit.export import write_csv, write_jsonl, write_parquet
from node.audit.held_file import load_held
from node.audit.query import KINDS, Filters, column_names, open_database, select
from node.audit.remote import fetch_rows
from node.audit.result import audit_to_json
from node.audit.rpc import open_rpc
from node.audit.single import check_single
from node.audit.verify import Audit, Scope, verify
from node.audit.web import open_web
from node.cli.audit_tables import show_audit, show_draw, show_duel, show_lane, show_rows, show_single

EXIT_FINDINGS, EXIT_CANNOT = 1, 2
EXAMPLES = """
Examples:

  python scripts/audit.py verify --deployment deployment.json --rpc https://rpc.example

  python scripts/audit.py verify --rpc http://127.0.0.1:8545 --allow-private --receipts --json

  python scripts/audit.py lane 0xPAYER 0xPAYEE --allow-private

  python scripts/audit.py receipt receipt.json --deployment deployment.json

  python scripts/audit.py draw 0xREQUEST_ID --dispatcher 0xPROVIDER

  python scripts/audit.py duel 0xDUEL_ID --deployment deployment.json --rpc https://rpc.example --json

  python scripts/audit.py query charges --db sqlite:///wwwserve.db --payer 0xPAYER --format csv

  python scripts/audit.py query receipts --url https://llm.example --since 2026-01-01 --format jsonl
"""
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)
screen = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

RpcOption = Annotated[
    list[str],
    typer.Option(
        "--rpc", envvar="WWWSERVE_RPC", help="Ethereum JSON-RPC URL; a second one is compared with the first."
    ),
]
DeploymentOption = Annotated[Path, typer.Option("--deployment", help="The file that scripts/deploy.py wrote.")]
BlockOption = Annotated[str, typer.Option("--block", help="finalized, safe, latest, a number or a block hash.")]
EndpointOption = Annotated[list[str], typer.Option("--endpoint", help="PAYEE=URL instead of the registry's.")]
PrivateOption = Annotated[bool, typer.Option("--allow-private", help="Ask http and private addresses too: your own.")]
UnsettledOption = Annotated[bool, typer.Option("--receipts", help="Also receipts that are not settled yet.")]
HeldOption = Annotated[
    list[Path],
    typer.Option("--receipts-file", help="A client's receipts: its wallet, JSON or JSON Lines; repeat it for more."),
]
BloomOption = Annotated[int, typer.Option("--blooms", help="Compare all block blooms up to this many blocks.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
DEFAULT_RPC = ["http://127.0.0.1:8545"]
DEFAULT_DEPLOYMENT = Path("deployment.json")
FORMATS = ("table", "csv", "jsonl", "parquet")
T = TypeVar("T")


@app.command("verify", epilog=EXAMPLES)
def verify_command(
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    block: BlockOption = "finalized",
    endpoint: EndpointOption = [],  # noqa: B006 -- typer copies it
    allow_private: PrivateOption = False,
    receipts: UnsettledOption = False,
    receipts_file: HeldOption = [],  # noqa: B006 -- typer copies it
    blooms: BloomOption = BLOOM_LIMIT_BLOCKS,
    json_out: JsonOption = False,
) -> None:
    """Rebuild every balance from events, check every receipt, claim, price and root."""

    def work() -> Audit:
        held = [entry for file in receipts_file for entry in load_held(file)]
        scope = Scope(block, _endpoints(endpoint), receipts, held, blooms)
        return _run(deployment, rpc, allow_private, scope)

    audit = _guarded(work, json_out=json_out)
    if json_out:
        sys.stdout.write(json.dumps(audit_to_json(audit), indent=1) + "\n")
    else:
        show_audit(screen, audit)
    raise typer.Exit(0 if audit.report.is_clean else EXIT_FINDINGS)


@app.command("lane", epilog=EXAMPLES)
def lane_command(
    payer: Annotated[str, typer.Argument(help="The payer's address.")],
    payee: Annotated[str, typer.Argument(help="The payee's address.")],
    lane: Annotated[str, typer.Argument(help="The lane signer's address; all lanes of the pair without it.")] = "",
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    block: BlockOption = "finalized",
    endpoint: EndpointOption = [],  # noqa: B006 -- typer copies it
    allow_private: PrivateOption = False,
    json_out: JsonOption = False,
) -> None:
    """One pair or lane: its settlements, its receipts settled or not, and what is wrong with them."""

    def work() -> Audit:
        parties = tuple(_address(each, "address") for each in (payer, payee, lane) if each)
        return _run(deployment, rpc, allow_private, Scope(block, _endpoints(endpoint), True, lane=parties))

    audit = _guarded(work, json_out=json_out)
    if json_out:
        sys.stdout.write(json.dumps(audit_to_json(audit), indent=1) + "\n")
    else:
        show_lane(screen, audit, (_address(payer, "payer"), _address(payee, "payee")))
    raise typer.Exit(0 if audit.report.is_clean else EXIT_FINDINGS)


@app.command("duel", epilog=EXAMPLES)
def duel_command(
    duel_id: Annotated[str, typer.Argument(help="The duel's id: 0x and 64 hex digits.")],
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    block: BlockOption = "finalized",
    json_out: JsonOption = False,
) -> None:
    """One duel again from chain data: draws, votes, verdict, payments; and the court's books."""

    def work() -> DuelAudit:
        wanted = _octets(duel_id, 32, "the duel's id")
        return duel_of(_run(deployment, rpc, False, Scope(block, wants_receipts=False)), wanted)

    found = _guarded(work, json_out=json_out)
    if json_out:
        sys.stdout.write(json.dumps(found.to_json(), indent=1) + "\n")
    else:
        show_duel(screen, found)
    raise typer.Exit(0 if found.is_clean else EXIT_FINDINGS)


@app.command("receipt", epilog=EXAMPLES)
def receipt_command(
    file: Annotated[Path, typer.Argument(help="A receipt as the node gives it (JSON); more than one is fine.")],
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    operator: Annotated[str, typer.Option(help="The operator key it must be signed by, if you know it.")] = "",
    json_out: JsonOption = False,
) -> None:
    """One receipt by itself, without network: signature, terms, price, billing rules."""

    def work() -> tuple[list[dict[str, object]], bool]:
        wanted = _address(operator, "operator") if operator else b""
        return check_single(load_held(file), load_deployment(deployment), wanted)

    rows, is_clean = _guarded(work, json_out=json_out)
    if json_out:
        sys.stdout.write(json.dumps({"ok": is_clean, "receipts": rows}, indent=1) + "\n")
    else:
        show_single(screen, rows)
    raise typer.Exit(0 if is_clean else EXIT_FINDINGS)


@app.command("draw", epilog=EXAMPLES)
def draw_command(
    request_id: Annotated[str, typer.Argument(help="The request whose draw to derive again.")],
    dispatcher: Annotated[str, typer.Option(help="Who made the draw: a provider's address.")],
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    endpoint: Annotated[str, typer.Option(help="URL instead of the registry's.")] = "",
    allow_private: PrivateOption = False,
    json_out: JsonOption = False,
) -> None:
    """Derive one draw again: the order from stakes and block, every skip's reason, every peer's signed word."""

    def work() -> DrawAudit:
        wanted = _octets(request_id, 32, "the request id"), _address(dispatcher, "--dispatcher")
        chain = DrawChain(open_rpc(rpc[0]), load_deployment(deployment))
        return audit_draw(chain, open_web(allows_private=allow_private), wanted, endpoint)

    found = _guarded(work, json_out=json_out)
    if json_out:
        sys.stdout.write(json.dumps(found.to_json(), indent=1) + "\n")
    else:
        show_draw(screen, found)
    raise typer.Exit(EXIT_FINDINGS if found.report.findings else 0)


@app.command("query", epilog=EXAMPLES)
def query_command(
    kind: Annotated[str, typer.Argument(help="receipts, charges, claims, vouchers or events.")],
    db: Annotated[str, typer.Option("--db", help="The node's database: a URL or a SQLite file.")] = "",
    url: Annotated[str, typer.Option("--url", help="Or a running node: its public base URL.")] = "",
    allow_private: PrivateOption = False,
    payer: Annotated[str, typer.Option(help="Only this payer.")] = "",
    payee: Annotated[str, typer.Option(help="Only this payee.")] = "",
    since: Annotated[str, typer.Option(help="From this time on: Unix seconds or ISO 8601.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many rows; 0 = all (a table shows 50).")] = 0,
    form: Annotated[str, typer.Option("--format", help="table, csv, jsonl or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", help="Write here instead of stdout (parquet needs it).")] = None,
) -> None:
    """Ask a node's database, read-only, or a running node."""

    def work() -> None:
        addresses = [_address(each, "address") if each else b"" for each in (payer, payee)]
        most = limit or (50 if form == "table" else 0)
        filters = Filters(addresses[0], addresses[1], _moment(since), _moment(until), most)
        _check_query(kind, form, out)
        with _rows_of(kind, filters, db, url, allows_private=allow_private) as rows:
            count = _write(kind, rows, form, out)
        if out:
            notes.print(f"{count} rows in {out}")

    _guarded(work)


def _check_query(kind: str, form: str, out: Path | None) -> None:
    if kind not in KINDS:
        raise CannotAuditError(f"no table of {kind!r}; ask for one of: {', '.join(KINDS)}")
    if form not in FORMATS:
        raise CannotAuditError(f"no format {form!r}; one of: {', '.join(FORMATS)}")
    if form == "parquet" and out is None:
        raise CannotAuditError("parquet is no text: give --out FILE")


@contextlib.contextmanager
def _rows_of(
    kind: str, filters: Filters, db: str, url: str, *, allows_private: bool
) -> Iterator[Iterator[dict[str, Any]]]:
    """From a database or from a running node, closed afterwards."""
    if bool(db) == bool(url):
        raise CannotAuditError("name what to ask: --db DATABASE or --url NODE, one of them")
    if url:
        web = open_web(allows_private=allows_private)
        with web.client:
            yield fetch_rows(web, url, kind, filters)
        return
    engine = open_database(db)
    try:
        yield select(engine, kind, filters)
    finally:
        engine.dispose()


def _write(kind: str, rows: Iterator[dict[str, Any]], form: str, out: Path | None) -> int:
    names = column_names(kind)
    if form == "parquet" and out is not None:
        return write_parquet(rows, names, KINDS[kind].amounts, out)
    if form == "table":
        return show_rows(screen, kind, rows)
    with out.open("w", newline="") if out else contextlib.nullcontext(sys.stdout) as target:
        return write_csv(rows, names, target) if form == "csv" else write_jsonl(rows, target)


def _run(deployment: Path, rpc: list[str], allow_private: bool, scope: Scope) -> Audit:
    contracts = load_deployment(deployment)
    rpcs = [open_rpc(url) for url in rpc]
    web = open_web(allows_private=allow_private)
    with ProgressBar(console=notes, transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        return verify(contracts, rpcs, web, scope, progress)


def _guarded(work: Callable[[], T], *, json_out: bool = False) -> T:
    try:
        return work()
    except CannotAuditError as exc:
        _stop(str(exc), json_out=json_out)


def _stop(message: str, *, json_out: bool) -> NoReturn:
    if json_out:
        sys.stdout.write(json.dumps({"ok": False, "error": message}) + "\n")
    notes.print(f"[red]could not audit:[/red] {escape(message)}", soft_wrap=True)
    raise typer.Exit(EXIT_CANNOT)


def _address(text: str, what: str) -> bytes:
    return _octets(text, 20, what)


def _octets(text: str, length: int, what: str) -> bytes:
    try:
        return octets_of(text, length, what)
    except MalformedError as exc:
        raise CannotAuditError(f"{exc}: {text!r}") from exc


def _endpoints(pairs: list[str]) -> dict[bytes, str]:
    out = {}
    for pair in pairs:
        payee, equals, url = pair.partition("=")
        if not equals:
            raise CannotAuditError(f"--endpoint {pair!r}: write PAYEE=URL")
        out[_address(payee, "payee")] = url
    return out


def _moment(text: str) -> int | None:
    if not text:
        return None
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise CannotAuditError(f"{text!r} is no time; write 2026-01-31, 2026-01-31T12:00:00 or Unix seconds") from exc
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def main() -> None:
    """Run the command line."""
    app()
