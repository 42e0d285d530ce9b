"""What a market did, as a person reads it: answers, settlements, gas, every balance before and after. Only shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from node.cli.common import units
from node.cli.devmarket.balances import Balance, Contracts

SHORT = 10


@dataclass(frozen=True, slots=True)
class Bought:
    """One answer the client paid for. Prices per million tokens, money in base units."""

    what: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    price_prompt: int
    price_completion: int
    charge: int
    text: str


@dataclass(frozen=True, slots=True)
class Mined:
    """One transaction of the run."""

    who: str
    what: str
    tx_hash: str
    gas_used: int


@dataclass(frozen=True, slots=True)
class MarketReport:
    """Everything `make demo` shows at its end."""

    bought: Sequence[Bought]
    mined: Sequence[Mined]
    before: Sequence[Balance]
    after: Sequence[Balance]
    audit: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def show_report(report: MarketReport, contracts: Contracts, console: Console) -> None:
    """The tables."""
    _show_answers(report, contracts, console)
    _show_transactions(report, console)
    _show_balances(report, contracts, console)
    _show_audit(report, console)


def _show_answers(report: MarketReport, contracts: Contracts, console: Console) -> None:
    table = _table(
        "Who paid whom for what",
        "answer",
        "client paid",
        "prompt",
        "completion",
        f"{contracts.symbol} per 1M",
        "charge",
    )
    table.columns[1].justify = "left"
    for bought in report.bought:
        prices = " / ".join(units(p, contracts.decimals) for p in (bought.price_prompt, bought.price_completion))
        table.add_row(
            bought.what,
            bought.provider,
            f"{bought.prompt_tokens:,} tok",
            f"{bought.completion_tokens:,} tok",
            prices,
            units(bought.charge, contracts.decimals),
        )
    console.print(table)


def _show_transactions(report: MarketReport, console: Console) -> None:
    """No table: a hash is there to be copied whole, and with it a table would not fit 80 columns."""
    console.print("[bold]Transactions[/bold]")
    who = ""
    for mined in report.mined:
        if mined.who != who:
            console.print(f"  {mined.who}")
            who = mined.who
        console.print(f"    {mined.what:<52}{mined.gas_used:>12,} gas")
        console.print(f"      [dim]{mined.tx_hash}[/dim]", soft_wrap=True)
    console.print(f"    {'all':<52}{sum(mined.gas_used for mined in report.mined):>12,} gas\n")


def _show_balances(report: MarketReport, contracts: Contracts, console: Console) -> None:
    table = _table(f"Balances in {contracts.symbol}", "whose", "account", "before", "after", "change")
    table.columns[1].justify = "left"
    before = {(row.owner, row.account): row.amount for row in report.before}
    owner = ""
    for row in report.after:
        if row.owner != owner and owner:
            table.add_section()
        was = before.get((row.owner, row.account), 0)
        change = row.amount - was
        sign = "+" if change > 0 else ""
        table.add_row(
            row.owner if row.owner != owner else "",
            row.account,
            units(was, contracts.decimals),
            units(row.amount, contracts.decimals),
            f"{sign}{units(change, contracts.decimals)}" if change else "",
        )
        owner = row.owner
    console.print(table)


def _show_audit(report: MarketReport, console: Console) -> None:
    counts = report.audit.get("counts", {})
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counts.items())
    verdict = "[green]nothing to object to[/green]" if report.audit.get("ok") else "[red]findings[/red]"
    console.print(f"[bold]Audit[/bold] at block {_block(report)}: {verdict} ({said})", soft_wrap=True)


def _block(report: MarketReport) -> object:
    block = report.audit.get("block")
    return block.get("number") if isinstance(block, dict) else block


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 1 else "right", no_wrap=True)
    return table
