"""The steps of scripts/register.py against the chain: read what is so, send only what differs, show what it came to."""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from node.adapters.chain.evm import EvmChain
from node.adapters.chain.views import Views
from node.cli.common import checksummed, confirm, native, parse_address, parse_amount, screen, shown, table
from node.cli.session import Session
from node.core.errors import BadConfig
from node.core.folds import ProviderView
from node.core.messages import Offer
from node.core.types import Address, Amount
from node.offer_file import read_offer

MAX_ENDPOINT = 256
"""Bytes the registry takes."""


@dataclass(frozen=True, slots=True)
class RegisterWishes:
    """What `register` is to bring about."""

    operator: Address
    endpoint: str
    offer: Offer
    stake: Amount
    mints: bool
    is_agreed: bool


def checked_endpoint(url: str, *, allows_private: bool) -> str:
    """A URL that strangers will call. Raises BadConfig for one that they cannot or must not (threat H1)."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as exc:
        raise BadConfig("--endpoint is not a URL") from exc
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise BadConfig("--endpoint must be like https://llm.example, without user, query and fragment")
    if len(url.encode()) > MAX_ENDPOINT or not url.isascii() or not url.isprintable():
        raise BadConfig(f"--endpoint must be at most {MAX_ENDPOINT} printable ASCII characters")
    if not allows_private and (parts.scheme != "https" or _is_private(host)):
        raise BadConfig("--endpoint must be https:// on a public host (--allow-private for a development market)")
    return url.rstrip("/")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host


def stake_of(text: str, session: Session) -> Amount:
    """The stake on the command line."""
    return parse_amount(text, session.deployment, "--stake")


async def register(session: Session, wishes: RegisterWishes) -> dict[str, Any]:
    """Bring the registration about, whatever of it exists already."""
    me = session.account.address
    if wishes.offer.payee != me:
        raise BadConfig(f"the offer's payee is {checksummed(wishes.offer.payee)}, the sending key is {checksummed(me)}")
    views = await session.views()
    known = await views.provider(me)
    least = await views.min_stake()
    if not known.is_listed and wishes.stake < least:
        raise BadConfig(
            f"--stake is {shown(wishes.stake, session.deployment)}, the least is {shown(least, session.deployment)}"
        )
    _show_wishes(session, wishes, known)
    confirm("Register?", is_agreed=wishes.is_agreed)
    if known.is_listed:
        await _update(session, wishes, known)
    else:
        await session.ensure_currency(wishes.stake, mints=wishes.mints)
        await session.ensure_allowance(session.deployment.registry, wishes.stake, "registry")
        offer_hash = wishes.offer.struct_hash()
        await session.registry("register", "register", wishes.endpoint, offer_hash, wishes.stake)
    if (await views.payee(me)).operator != wishes.operator:
        await session.escrow("name the operator key", "setOperator", wishes.operator)
    session.show_sent()
    shown_now = await show_status(session.chain, me, is_quiet=session.is_quiet)
    return {**shown_now, "transactions": session.sent_json()}


async def _update(session: Session, wishes: RegisterWishes, known: ProviderView) -> None:
    if known.endpoint != wishes.endpoint:
        await session.registry("change the endpoint", "setEndpoint", wishes.endpoint)
    if known.offer_hash != wishes.offer.struct_hash():
        await session.registry("change the offer", "setOffer", wishes.offer.struct_hash())


def _show_wishes(session: Session, wishes: RegisterWishes, known: ProviderView) -> None:
    if session.is_quiet:
        return
    made = table("Registration", "what", "now", "wanted")
    made.add_row("endpoint", known.endpoint or "-", wishes.endpoint)
    made.add_row("offer", known.offer_hash.hex()[:16], wishes.offer.struct_hash().hex()[:16])
    wanted = shown(known.stake if known.is_listed else wishes.stake, session.deployment)
    made.add_row("stake", shown(known.stake, session.deployment), wanted)
    screen.print(made)


async def show_status(chain: EvmChain, provider: Address, *, is_quiet: bool) -> dict[str, Any]:
    """Everything the contracts know of one provider."""
    views = Views(chain, await chain.fetch_head())
    found, keys = await views.provider(provider), await views.payee(provider)
    earnings, wallet = await views.earnings(provider), await views.balance(provider)
    coin = await views.native_balance(provider)
    result: dict[str, Any] = {
        "provider": checksummed(provider),
        "listed": found.is_listed,
        "endpoint": found.endpoint,
        "offer_hash": "0x" + found.offer_hash.hex(),
        "operator": checksummed(keys.operator),
        "generation": keys.generation,
        "payout": checksummed(keys.payout),
        "stake": str(found.stake),
        "unbonding": str(found.unbonding),
        "unbond_end": found.unbond_end,
        "earnings_released": str(earnings.released),
        "earnings_held": str(earnings.unreleased),
        "wallet": str(wallet),
        "native_wei": str(coin),
        "block": views.block.number,
    }
    if not is_quiet:
        _show(result, chain, coin)
    return result


def _show(result: dict[str, Any], chain: EvmChain, coin: int) -> None:
    amounts = {"stake", "unbonding", "earnings_released", "earnings_held", "wallet"}
    made = table(f"Provider at block {result['block']}", "what", "value")
    for name, value in result.items():
        if name in amounts:
            made.add_row(name.replace("_", " "), shown(int(value), chain.deployment))
        elif name == "native_wei":
            made.add_row("native coin", native(coin))
        elif name != "block":
            made.add_row(name.replace("_", " "), str(value))
    screen.print(made)


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line of a changing command."""

    value: str
    mints: bool
    allows_private: bool
    is_agreed: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One changing command: its name, what it says of itself, and what it sends."""

    name: str
    summary: str
    value_help: str
    act: Callable[[Session, Asked], Awaitable[None]]


async def change(session: Session, step: Step, asked: Asked) -> dict[str, Any]:
    """Run one step, then show the provider."""
    confirm(f"{step.summary.rstrip('.')}?", is_agreed=asked.is_agreed)
    await step.act(session, asked)
    session.show_sent()
    status = await show_status(session.chain, session.account.address, is_quiet=session.is_quiet)
    return {**status, "transactions": session.sent_json()}


def _needed(asked: Asked, what: str) -> str:
    if not asked.value:
        raise BadConfig(f"this command needs {what}")
    return asked.value


async def _update_offer(session: Session, asked: Asked) -> None:
    offer = read_offer(Path(_needed(asked, "an offer file")))
    if offer.payee != session.account.address:
        raise BadConfig("the offer is another payee's")
    await session.registry("change the offer", "setOffer", offer.struct_hash())


async def _set_endpoint(session: Session, asked: Asked) -> None:
    url = checked_endpoint(_needed(asked, "the new URL"), allows_private=asked.allows_private)
    await session.registry("change the endpoint", "setEndpoint", url)


async def _set_operator(session: Session, asked: Asked) -> None:
    operator = parse_address(_needed(asked, "the new operator's address"), "the operator")
    await session.escrow("name the operator key", "setOperator", operator)


async def _add_stake(session: Session, asked: Asked) -> None:
    amount = parse_amount(_needed(asked, "an amount"), session.deployment)
    await session.ensure_currency(amount, mints=asked.mints)
    await session.ensure_allowance(session.deployment.registry, amount, "registry")
    await session.registry("add stake", "addStake", amount)


async def _unstake(session: Session, asked: Asked) -> None:
    amount = parse_amount(_needed(asked, "an amount"), session.deployment)
    await session.registry("start unbonding", "requestUnstake", amount)


async def _leave(session: Session, _: Asked) -> None:
    await session.registry("leave the registry", "deregister")


def _receiver(session: Session, asked: Asked) -> Address:
    return parse_address(asked.value, "the receiver") if asked.value else session.account.address


async def _withdraw(session: Session, asked: Asked) -> None:
    await session.registry("withdraw stake", "withdrawStake", _receiver(session, asked))


async def _collect(session: Session, _: Asked) -> None:
    await session.escrow("collect earnings", "collectEarnings", session.account.address)


STEPS = (
    Step("update-offer", "Register a new offer document.", "The offer file.", _update_offer),
    Step("set-endpoint", "Change the endpoint.", "The new URL.", _set_endpoint),
    Step("set-operator", "Name another operator key (opens a new generation).", "Its address.", _set_operator),
    Step("add-stake", "Stake more.", 'Base units, or like "12.5 DEV".', _add_stake),
    Step("unstake", "Start unbonding a part of the stake.", 'Base units, or like "12.5 DEV".', _unstake),
    Step("leave", "Delist at once and start unbonding all stake.", "Nothing.", _leave),
    Step("withdraw", "Take what has finished unbonding.", "Receiver; left out: yourself.", _withdraw),
    Step("collect", "Send released earnings to the payout address.", "Nothing.", _collect),
)
