"""Audits as tables for people: who owes whom, what was settled, what is wrong and whom it hurts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.audit.catalogue import CATALOGUE, Severity
from node.audit.court import JUDGES
from node.audit.crypto import hexed, keccak
from node.audit.deployment import Deployment
from node.audit.draw import CODES
from node.audit.draw_audit import DrawAudit
from node.audit.duel_result import DuelAudit, seats_of
from node.audit.findings import Report, Traffic
from node.audit.verify import Audit

MAX_SHOWN = 25
"""Findings and rows a table shows; --json has all."""
CELL = 20
"""Characters of a hash that is shown whole."""
_PARTIES = ("payer", "payee")
BRIEF = {
    "receipts": (*_PARTIES, "request_id", "prompt_tokens", "completion_tokens", "status", "charge", "cumulative"),
    "charges": (*_PARTIES, "prompt_tokens", "completion_tokens", "price_prompt", "price_completion", "charge"),
    "claims": (*_PARTIES, "generation", "cumulative", "count", "receipts_root"),
    "vouchers": (*_PARTIES, "request_id", "ceiling", "max_price", "received_at"),
    "events": ("block", "at", "contract", "name", "args"),
}
"""What a table shows of each kind of query."""
_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def show_audit(screen: Console, audit: Audit) -> None:
    """The whole report."""
    pinned, counts = audit.pinned, audit.report.counts
    screen.print(
        f"[bold]audit at block {pinned.number}[/bold] {hexed(pinned.block_hash)} chain {audit.deployment.chain_id}"
    )
    screen.print(
        f"{counts.events} events, {counts.balances_compared} balances compared, {counts.settlements} settlements, "
        f"{counts.receipts} receipts ({counts.unsettled_receipts} unsettled), {counts.signatures} signatures, "
        f"{counts.offers} offers",
    )
    if audit.book.pairs:
        screen.print(_pairs(audit))
    _show_findings(screen, audit.report)


def show_lane(screen: Console, audit: Audit, pair: tuple[bytes, bytes]) -> None:
    """One pair: settlements and findings."""
    table = _table(f"settlements of {_short(pair[0])} to {_short(pair[1])}", "block", "lane", "generation")
    for name in ("receipts", "cumulative", "ceiling", "paid", "root"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in audit.book.settlements:
        if (each.payer, each.payee) != pair:
            continue
        amounts = [_amount(amount, audit.deployment) for amount in (each.cumulative, each.ceiling, each.paid)]
        names = [str(each.event.log.block_number), _short(each.lane), str(each.generation), str(each.count)]
        table.add_row(*names, *amounts, hexed(each.root)[:12])
    screen.print(table)
    screen.print(_pairs(audit, pair))
    _show_findings(screen, audit.report)


def show_single(screen: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Receipts checked by themselves."""
    for row in rows:
        table = _table(f"receipt {row['request_id']}", "member", "value")
        for name, value in row.items():
            if name != "findings":
                table.add_row(name, escape(str(value)))
        screen.print(table)
        for finding in row["findings"]:
            screen.print(f"[bold red]{finding['code']}[/bold red] {finding['title']}: {escape(finding['message'])}")
        if not row["findings"]:
            screen.print("[green]nothing is wrong with it by itself[/green] (verify asks the chain too)")


def show_rows(screen: Console, kind: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Rows of a query, the columns a terminal has room for; returns how many."""
    names = BRIEF[kind]
    table = Table()
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name in _PARTIES)
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 -- the count is the result
        table.add_row(*(_cell(row[name]) for name in names))
    screen.print(table)
    screen.print(f"{count} rows; --format csv, jsonl or parquet gives them whole")
    return count


def _pairs(audit: Audit, only: tuple[bytes, bytes] | None = None) -> Table:
    table = _table("who paid whom", "payer", "payee")
    for name in ("allotted", "claimed", "charged", "receipts", "prompt tokens", "completion tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for ids, pair in islice(audit.book.pairs.items(), 0, None):
        if only not in (None, ids):
            continue
        traffic = audit.report.traffic.get(ids, Traffic())
        amounts = [_amount(amount, audit.deployment) for amount in (pair.allotted, pair.claimed, traffic.charged)]
        tokens = (traffic.receipts, traffic.prompt_tokens, traffic.completion_tokens)
        table.add_row(_short(ids[0]), _short(ids[1]), *amounts, *(f"{number:,}" for number in tokens))
        if table.row_count == MAX_SHOWN and only is None:
            table.caption = f"{len(audit.book.pairs)} pairs in all; --json has them"
            break
    return table


def _show_findings(screen: Console, report: Report) -> None:
    for note in report.notes:
        screen.print(f"[dim]note: {escape(note)}[/dim]")
    if report.is_clean:
        screen.print("[green]nothing is wrong[/green]")
        return
    table = _table("findings", "code", "severity", "hurts", "what")
    for finding in report.findings[:MAX_SHOWN]:
        rule = CATALOGUE[finding.code]
        evidence = ", ".join(f"{name} {value}" for name, value in finding.evidence.items())
        style = _STYLES[rule.severity]
        what = f"{rule.title}: {escape(finding.message)}\n[dim]{escape(evidence)}[/dim]"
        table.add_row(finding.code, f"[{style}]{rule.severity.value}[/{style}]", rule.hurts, what)
    screen.print(table)
    total = sum(report.totals.values())
    shown = min(total, MAX_SHOWN)
    screen.print(f"[bold red]{total} findings[/bold red] ({shown} shown; docs/auditing.md explains each code)")


def show_draw(screen: Console, found: DrawAudit) -> None:
    """One request's draws: who was passed over why, and what is wrong."""
    report = found.report
    made = _table(f"{found.rounds} draw(s), {report.looked_at} providers looked at", "passed over because", "providers")
    for reason, count in sorted(report.skips.items()):
        made.add_row(_cell(reason), str(count))
    screen.print(made)
    for code, message in report.findings:
        screen.print(f"[red]{code}[/red] {escape(CODES[code])}: {escape(message)}", soft_wrap=True)
    if not report.findings:
        screen.print(
            "[green]the order is the one that stakes, block and request give, and every skip has its reason[/]"
        )


def show_duel(screen: Console, found: DuelAudit) -> None:
    """One duel: parties, benches, what it paid and took, what is wrong."""
    document = found.to_json()
    table = _table(f"duel {document['duel']}", "member", "value")
    for name in ("state", "dispatcher", "first", "second", "appellant", "request_id", "epoch", "attempt", "seed_known"):
        table.add_row(name.replace("_", " "), escape(str(document[name])))
    screen.print(table)
    seats = [*seats_of(found.duel.trial, 0), *(seats_of(found.duel.retrial, JUDGES) if found.duel.retrial else [])]
    bench = _table("judges", "seat", "judge", "place", "vote")
    for seat in seats:
        bench.add_row(*(_cell(value) for value in seat.values()))
    screen.print(bench)
    money = _table("what it came to", "account", "paid", "slashed")
    for account in sorted(found.duel.paid.keys() | found.duel.taken.keys()):
        amounts = [_amount(of.get(account, 0), found.audit.deployment) for of in (found.duel.paid, found.duel.taken)]
        money.add_row(_short(account), *amounts)
    screen.print(money)
    for finding in found.findings:
        screen.print(f"[red]{finding.code}[/red] {escape(CATALOGUE[finding.code].title)}: {escape(finding.message)}")
    if found.is_clean:
        screen.print("[green]draws, votes, verdict and payments are those that the chain's data give[/green]")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cell(value: object) -> str:
    text = str(value)
    if text.startswith("0x") and len(text) > CELL:
        return f"{text[:6]}…{text[-4:]}"
    return escape(text if len(text) <= 2 * CELL else text[: 2 * CELL] + "…")


def _short(address: bytes) -> str:
    """A checksummed address, shortened in the middle."""
    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    text = "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(digits, digest, strict=False))
    return f"0x{text[:6]}…{text[-4:]}"


def _amount(amount: int, deployment: Deployment) -> str:
    """Base units as currency, without losing a digit."""
    whole, rest = divmod(amount, 10**deployment.currency_decimals)
    digits = f"{rest:0{deployment.currency_decimals}d}".rstrip("0") if deployment.currency_decimals else ""
    return f"{whole:,}" + (f".{digits}" if digits else "") + f" {deployment.currency_symbol}"
