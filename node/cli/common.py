"""What the chain commands share: options, amounts and addresses as people write them, one way to run, ask and fail.

A failure is one sentence on stderr (with --json also an object on stdout): exit 1 when the world or a contract says no,
2 when the command line, a file or a key is wrong. Never a traceback for either.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from node.adapters.keys.keystore import refuse_raw_key
from node.core.errors import BadConfig, WwwserveError
from node.core.hashing import keccak
from node.core.types import Address, Amount
from node.deployment import Deployment

notes = Console(stderr=True, highlight=False)
screen = Console(highlight=False)

EXIT_NO, EXIT_USAGE = 1, 2

RpcOption = Annotated[
    list[str],
    typer.Option("--rpc", envvar="WWWSERVE_RPC", help="Ethereum JSON-RPC URL; repeat it for fail-over."),
]
DeploymentOption = Annotated[Path, typer.Option("--deployment", help="The file that scripts/deploy.py wrote.")]
KeystoreOption = Annotated[Path | None, typer.Option("--keystore", help="Keystore v3 file of the sending key.")]
PasswordFileOption = Annotated[Path | None, typer.Option("--password-file", help="Its password; a file of mode 0600.")]
PasswordFdOption = Annotated[int | None, typer.Option("--password-fd", help="Its password, from a file descriptor.")]
DevAccountOption = Annotated[
    int | None,
    typer.Option("--dev-account", min=0, help="Unlocked account N of a development chain (chain id 31337 alone)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before sending.")]
DEFAULT_RPC = ["http://127.0.0.1:8545"]
DEFAULT_DEPLOYMENT = Path("deployment.json")


def run(command: Callable[[], Awaitable[Mapping[str, Any]]], *, json_out: bool) -> None:
    """Run a command to its result; print the result as JSON if asked, and every known failure as one sentence."""
    try:
        result = asyncio.run(_awaited(command))
    except WwwserveError as exc:
        fail(exc, json_out=json_out)
    if json_out:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")


async def _awaited(command: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
    return await command()


def fail(error: WwwserveError, *, json_out: bool) -> NoReturn:
    """Say what was wrong and end."""
    notes.print(f"[red]error:[/red] {_escaped(error.message)}", soft_wrap=True)
    if json_out:
        said = {"code": error.code(), "message": error.message, "facts": error.facts}
        sys.stdout.write(json.dumps({"error": said}) + "\n")
    raise typer.Exit(EXIT_USAGE if isinstance(error, BadConfig) else EXIT_NO)


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text).replace("[", r"\[")


def confirm(question: str, *, is_agreed: bool) -> None:
    """Ask before money moves. Raises BadConfig where nobody can answer."""
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise BadConfig("nobody is there to say yes: pass --yes")
    if not typer.confirm(question, err=True):
        raise BadConfig("nothing was sent")


# ------------------------------------------------------------------------------------------------ addresses and amounts
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_AMOUNT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<symbol>[A-Za-z]{1,12})?")


def checksummed(address: Address) -> str:
    """An address as people read it (EIP-55)."""
    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(digits, digest, strict=False))


def parse_address(text: str, what: str) -> Address:
    """An address from a command line; mixed case must be its checksum. Raises BadConfig."""
    refuse_raw_key(text)
    if not _ADDRESS.fullmatch(text):
        raise BadConfig(f"{what} must be an address: 0x and 40 hex digits")
    address = Address(bytes.fromhex(text[2:]))
    is_one_case = text[2:] in (text[2:].lower(), text[2:].upper())
    if not is_one_case and text != checksummed(address):
        raise BadConfig(f"{what} {text} has a wrong checksum: a letter was mistyped")
    return address


def parse_amount(text: str, deployment: Deployment, what: str = "the amount") -> Amount:
    """Base units ("5000000"), or whole currency with its symbol ("5.25 DEV"); exact or refused. Raises BadConfig."""
    match = _AMOUNT.fullmatch(text.strip())
    symbol, decimals = deployment.currency_symbol, deployment.currency_decimals
    if match is None or (match["symbol"] or symbol).upper() != symbol.upper():
        raise BadConfig(f'{what} must be base units, like 5000000, or like "5.25 {symbol}"')
    if match["symbol"] is None:
        if "." in match["number"]:
            raise BadConfig(f'{what} {text}: base units have no decimals; did you mean "{text} {symbol}"?')
        return _fitting(int(match["number"]), what)
    whole, _, rest = match["number"].partition(".")
    if len(rest) > decimals:
        raise BadConfig(f"{what} {text}: {symbol} has {decimals} decimals")
    return _fitting(int(whole) * 10**decimals + int(rest.ljust(decimals, "0") or "0"), what)


def _fitting(amount: int, what: str) -> Amount:
    if amount >= 1 << 128:
        raise BadConfig(f"{what} is larger than 2^128 base units")
    return Amount(amount)


def shown(amount: int, deployment: Deployment) -> str:
    """An amount with its symbol, exact."""
    return f"{units(amount, deployment.currency_decimals)} {deployment.currency_symbol}"


def units(amount: int, decimals: int) -> str:
    """An integer of base units as a decimal number, without losing a digit."""
    whole, rest = divmod(abs(amount), 10**decimals)
    sign = "-" if amount < 0 else ""
    digits = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{sign}{whole:,}" + (f".{digits}" if digits else "")


def native(wei: int) -> str:
    """Native coin, exact."""
    return units(wei, 18)


def table(title: str, *columns: str) -> Table:
    """A table in the house's look; columns of numbers are never broken."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        is_text = index == 0 or column in ("address", "value")
        made.add_column(column, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    return made
