"""The steps of scripts/prepay.py against the escrow: each checks what it can, then asks, then sends."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from node.adapters.chain.evm import EvmChain, compact
from node.adapters.chain.views import PairOnChain, Views
from node.adapters.keys.signer import LocalSigner
from node.cli.common import checksummed, confirm, native, parse_address, parse_amount, screen, shown, table
from node.cli.session import Session
from node.core.errors import BadConfig
from node.core.messages import SignerConsent
from node.core.types import U128_MAX, Address, Amount, Seconds

CONSENT_SECONDS = 3600
"""How long a signer's consent may wait for its transaction."""
Act = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DepositWishes:
    """What `deposit` is to do."""

    amount: Amount
    allotments: tuple[tuple[Address, Amount], ...]
    mints: bool
    takes_any_payee: bool


def deposit_wishes(
    session: Session,
    amount: str,
    allot: Sequence[str],
    *,
    mints: bool,
    takes_any_payee: bool,
) -> DepositWishes:
    """Parse the command line. Raises BadConfig."""
    allotments = tuple(_pair_of(text, session, needs_amount=True) for text in allot)
    total = parse_amount(amount, session.deployment, "--amount")
    if not total and not allotments:
        raise BadConfig("nothing to do: give --amount, --allot or both")
    return DepositWishes(total, allotments, mints, takes_any_payee)


def _pair_of(text: str, session: Session, *, needs_amount: bool) -> tuple[Address, Amount]:
    payee, separator, amount = text.partition("=")
    if needs_amount and not separator:
        raise BadConfig(f"--allot {text}: write PAYEE=AMOUNT")
    address = parse_address(payee.strip(), "the payee")
    if not separator:
        return address, Amount(U128_MAX)  # the escrow clamps it to what is unclaimed
    return address, parse_amount(amount, session.deployment)


async def deposit(session: Session, wishes: DepositWishes, *, is_agreed: bool) -> None:
    """Mint if wished, approve, deposit, allot."""
    views = await session.views()
    await _check_payees(views, wishes)
    free = await views.free(session.account.address)
    asked = sum(amount for _, amount in wishes.allotments)
    if asked > free + wishes.amount:
        short = shown(asked - free - wishes.amount, session.deployment)
        raise BadConfig(f"the allotments ask for {short} more than is free and deposited")
    _show_wishes(session, wishes)
    confirm("Deposit and allot?", is_agreed=is_agreed)
    if wishes.amount:
        await session.ensure_currency(wishes.amount, mints=wishes.mints)
        await session.ensure_allowance(session.deployment.escrow, wishes.amount, "escrow")
        await session.escrow("deposit", "deposit", wishes.amount)
    if wishes.allotments:
        payees, amounts = zip(*wishes.allotments, strict=True)
        await session.escrow("allot", "allot", payees, amounts)


async def _check_payees(views: Views, wishes: DepositWishes) -> None:
    """Money allotted to a mistyped address comes back, but only after a whole thaw."""
    for payee, amount in wishes.allotments:
        if amount == 0:
            raise BadConfig(f"the allotment of {checksummed(payee)} is 0")
        if not wishes.takes_any_payee and (await views.payee(payee)).generation == 0:
            raise BadConfig(
                f"{checksummed(payee)} is no provider yet (no operator key in the escrow); --any-payee allots anyway"
            )


def _show_wishes(session: Session, wishes: DepositWishes) -> None:
    if session.is_quiet:
        return
    made = table("Prepayment", "what", "address", "amount")
    made.add_row("deposit", checksummed(session.deployment.escrow), shown(wishes.amount, session.deployment))
    for payee, amount in wishes.allotments:
        made.add_row("allot", checksummed(payee), shown(amount, session.deployment))
    screen.print(made)


async def thaw(session: Session, texts: Sequence[str], *, is_agreed: bool) -> None:
    """Start (or replace, or stop) thaws."""
    wanted = [_pair_of(text, session, needs_amount=False) for text in texts]
    views = await session.views()
    for payee, _ in wanted:
        pair = await views.pair(session.account.address, payee)
        if pair.allotted == pair.claimed:
            raise BadConfig(f"nothing is left of the allotment of {checksummed(payee)}")
    confirm("Start thawing?", is_agreed=is_agreed)
    payees, amounts = zip(*wanted, strict=True)
    await session.escrow("thaw", "requestThaw", payees, amounts)


async def withdraw(session: Session, receiver: Address, *, is_agreed: bool) -> None:
    """Finish ripe thaws of every pair and pay out."""
    me = session.account.address
    views = await session.views()
    pairs = {payee: await views.pair(me, payee) for payee in await views.payees_of(me)}
    ripe = [payee for payee, pair in pairs.items() if pair.thawing and pair.thaw_end <= views.block.timestamp]
    if not ripe and not await views.free(me):
        raise BadConfig(_why_nothing(views, pairs))
    confirm(f"Withdraw to {checksummed(receiver)}?", is_agreed=is_agreed)
    await session.escrow("withdraw", "withdraw", ripe, receiver)


def _why_nothing(views: Views, pairs: dict[Address, PairOnChain]) -> str:
    ends = [pair.thaw_end for pair in pairs.values() if pair.thawing]
    if ends:
        return f"nothing is free yet: the first thaw ends in {min(ends) - views.block.timestamp} s"
    return "nothing is free and nothing thaws: run `prepay.py thaw PAYEE` first"


async def authorize(session: Session, signer: LocalSigner, cap: str, *, is_agreed: bool) -> None:
    """Bind a further signer with its signed consent."""
    amount = parse_amount(cap, session.deployment, "--cap")
    deadline = Seconds(int(time.time()) + CONSENT_SECONDS)
    consent = SignerConsent(session.account.address, amount, deadline)
    confirm(f"Let {checksummed(signer.address)} sign for you?", is_agreed=is_agreed)
    signature = signer.sign(session.deployment.domain.digest(consent.struct_hash()))
    await session.escrow(
        "authorize the signer", "authorizeSigner", signer.address, amount, deadline, compact(signature)
    )


async def end_signer(session: Session, signer: str, function: str, *, is_agreed: bool) -> None:
    """Thaw or revoke a further signer."""
    address = parse_address(signer, "the signer")
    confirm(f"End the signer {checksummed(address)}?", is_agreed=is_agreed)
    await session.escrow("end the signer", function, address)


async def show_status(chain: EvmChain, payer: Address, *, is_quiet: bool) -> dict[str, Any]:
    """Everything the contracts know of one payer's money."""
    views = Views(chain, await chain.fetch_head())
    pairs = {payee: await views.pair(payer, payee) for payee in await views.payees_of(payer)}
    result: dict[str, Any] = {
        "payer": checksummed(payer),
        "wallet": str(await views.balance(payer)),
        "free": str(await views.free(payer)),
        "native_wei": str(await views.native_balance(payer)),
        "pairs": [_pair_json(payee, pair) for payee, pair in pairs.items()],
        "block": views.block.number,
    }
    if not is_quiet:
        _show(result, pairs, chain, views.block.timestamp)
    return result


def _pair_json(payee: Address, pair: PairOnChain) -> dict[str, Any]:
    return {
        "payee": checksummed(payee),
        "allotted": str(pair.allotted),
        "claimed": str(pair.claimed),
        "thawing": str(pair.thawing),
        "thaw_end": pair.thaw_end,
        "cover_left": str(pair.cover_left),
    }


def _show(result: dict[str, Any], pairs: dict[Address, PairOnChain], chain: EvmChain, now: Seconds) -> None:
    made = table(f"Money at block {result['block']}", "what", "value")
    made.add_row("payer", result["payer"])
    made.add_row("wallet", shown(int(result["wallet"]), chain.deployment))
    made.add_row("escrow, free", shown(int(result["free"]), chain.deployment))
    made.add_row("native coin", native(int(result["native_wei"])))
    screen.print(made)
    if not pairs:
        return
    rows = table(
        f"Pairs ({chain.deployment.currency_symbol})", "address", "allotted", "claimed", "thawing", "left", "back in"
    )
    for payee, pair in pairs.items():
        cells = [checksummed(payee), *(shown(a, chain.deployment).split()[0] for a in _amounts(pair))]
        rows.add_row(*cells, f"{max(pair.thaw_end - now, 0)} s" if pair.thawing else "-")
    screen.print(rows)


def _amounts(pair: PairOnChain) -> tuple[Amount, ...]:
    return pair.allotted, pair.claimed, pair.thawing, pair.cover_left
