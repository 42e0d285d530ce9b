"""`scripts/duels.py`: take part in duels, fund the bonds of those you dispatch, collect what you earned.

Run with your provider's own key; the node itself needs only the delegate that you name here (docs/duels.md).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
import typer

from node.adapters.chain.evm import EvmChain
from node.cli.common import JsonOption, checksummed, confirm, parse_address, parse_amount, run, screen, shown, table
from node.cli.options import READING, SENDING, Common, with_options
from node.cli.session import Session, open_chain, open_session
from node.core.errors import BadConfig, PeerFailed
from node.core.transactions import Call
from node.core.types import Address

EXAMPLES = """
\b
Examples:
  python scripts/duels.py enroll --delegate 0xGASKEY --keystore owner.json --password-file owner.password
  python scripts/duels.py fund --amount "20 USDC" --keystore owner.json --password-file owner.password
  python scripts/duels.py status 0xPROVIDER
  python scripts/duels.py collect --keystore owner.json --password-file owner.password
  python scripts/duels.py judges --node http://127.0.0.1:8000
  python scripts/duels.py resign --keystore owner.json --password-file owner.password
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)
JUDGE_COLUMNS = ("judge", "right", "wrong", "finding")
NODE_SECONDS = 30.0
Act = Callable[[Session], Awaitable[None]]


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def enroll(
    common: Common,
    delegate: Annotated[str, typer.Option(help="The node's gas key: it may act in duels for you, and nothing else.")],
) -> None:
    """From the next epoch on you may be drawn as opponent and judge, and dispatch duels."""

    async def act(session: Session) -> None:
        hot = parse_address(delegate, "--delegate")
        member = await read(session.chain, "member", session.account.address)
        if member["active"] and member["delegate"] == hot:
            return
        confirm(f"Enroll with the delegate {checksummed(hot)}?", is_agreed=common.is_agreed)
        if member["active"]:
            await send(session, "name the delegate", "setDelegate", hot)
        else:
            await send(session, "enroll", "enroll", hot)

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def fund(
    common: Common,
    amount: Annotated[str, typer.Option(help='Base units, or like "20 DEV".')],
    mint_dev: Annotated[bool, typer.Option("--mint-dev", help="Mint missing currency (chain id 31337 alone).")] = False,
) -> None:
    """Add to the balance that bonds are locked from."""

    async def act(session: Session) -> None:
        wanted = parse_amount(amount, session.deployment, "--amount")
        court = court_of(session.chain)
        confirm(f"Fund {shown(wanted, session.deployment)}?", is_agreed=common.is_agreed)
        await session.ensure_currency(wanted, mints=mint_dev)
        await session.ensure_allowance(court, wanted, "court")
        await send(session, "fund", "fund", session.account.address, wanted)

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def collect(
    common: Common,
    to: Annotated[str, typer.Option(help="The receiver; left out: yourself.")] = "",
) -> None:
    """Take out your whole balance: rewards, prizes, and what of your bonds is free."""

    async def act(session: Session) -> None:
        receiver = parse_address(to, "--to") if to else session.account.address
        if not await read(session.chain, "balances", session.account.address):
            raise BadConfig("your balance in the court is zero: nothing to collect")
        confirm(f"Collect to {checksummed(receiver)}?", is_agreed=common.is_agreed)
        await send(session, "collect", "collect", receiver)

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def resign(common: Common) -> None:
    """From the next epoch on you are drawn no more. Duels that run go on: keep the node up until they end."""

    async def act(session: Session) -> None:
        confirm("Resign?", is_agreed=common.is_agreed)
        await send(session, "resign", "resign")

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(READING)
def status(common: Common, provider: Annotated[str, typer.Argument(help="The provider's address.")]) -> None:
    """Membership, weight and balance."""

    async def command() -> dict[str, Any]:
        async with open_chain(common.deployment, common.rpc) as chain:
            return await show_status(chain, parse_address(provider, "the provider"), is_quiet=common.json_out)

    run(command, json_out=common.json_out)


@app.command(epilog=EXAMPLES)
def judges(
    node: Annotated[str, typer.Option(help="URL of a node that dispatches duels.")],
    json_out: JsonOption = False,
) -> None:
    """How the judges voted on duels whose right verdict that node knows (its canaries)."""

    async def command() -> dict[str, Any]:
        said = await fetch_judges(node)
        if not json_out:
            made = table(f"Judges by {said['canaries']} canaries", *JUDGE_COLUMNS)
            for row in said["judges"]:
                made.add_row(*(str(row[name]) for name in JUDGE_COLUMNS))
            screen.print(made)
        return said

    run(command, json_out=json_out)


async def fetch_judges(node: str, transport: httpx.AsyncBaseTransport | None = None) -> dict[str, Any]:
    """What a node says of judges. Raises PeerFailed."""
    async with httpx.AsyncClient(trust_env=False, timeout=NODE_SECONDS, transport=transport) as http:
        try:
            reply = await http.get(f"{node.rstrip('/')}/v1/judges")
            said = reply.raise_for_status().json()
            rows = [{name: row[name] for name in JUDGE_COLUMNS} for row in said["judges"]]
            return {"canaries": int(said["canaries"]), "judges": rows}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as exc:
            raise PeerFailed(f"{node} does not say: is it a node with duels on?") from exc


def court_of(chain: EvmChain) -> Address:
    """The court of this deployment. Raises BadConfig."""
    if chain.deployment.duels is None:
        raise BadConfig("this deployment has no duels")
    return chain.deployment.duels


async def read(chain: EvmChain, function: str, *args: object) -> Any:  # noqa: ANN401 -- as the ABI says
    """One view of the court at the head."""
    raw = await chain.call(Call(court_of(chain), chain.duels.encode_call(function, *args)))
    return chain.duels.decode_result(function, raw)[0]


async def send(session: Session, what: str, function: str, *args: object) -> None:
    """One call of the court."""
    await session.send(what, Call(court_of(session.chain), session.chain.duels.encode_call(function, *args)))


async def show_status(chain: EvmChain, provider: Address, *, is_quiet: bool) -> dict[str, Any]:
    """What the court knows of one provider."""
    member, balance = await read(chain, "member", provider), await read(chain, "balances", provider)
    result = {
        "provider": checksummed(provider),
        "enrolled": member["active"],
        "place": member["place"],
        "controller": checksummed(member["controller"]),
        "delegate": checksummed(member["delegate"]),
        "weight": member["weight"],
        "balance": str(balance),
        "epoch": await read(chain, "currentEpoch"),
    }
    if not is_quiet:
        made = table("In court", "what", "value")
        for name, value in result.items():
            made.add_row(name, shown(balance, chain.deployment) if name == "balance" else str(value))
        screen.print(made)
    return result


def _send(common: Common, act: Act) -> None:
    async def command() -> dict[str, Any]:
        async with open_session(common.deployment, common.rpc, common.keys, is_quiet=common.json_out) as session:
            await act(session)
            session.show_sent()
            found = await show_status(session.chain, session.account.address, is_quiet=common.json_out)
            return {**found, "transactions": session.sent_json()}

    run(command, json_out=common.json_out)


def main() -> None:
    """Entry point."""
    app()
