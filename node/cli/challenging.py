"""The steps of `prepay.py challenge` (protocol rule 10): find what a payee claimed beyond its receipts, get it back.

The proof is two statements of the payee's operator that contradict each other; it needs nobody's cooperation.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from node.adapters.chain.evm import compact
from node.adapters.clock import SystemClock
from node.adapters.keys import recover
from node.cli.common import checksummed, confirm, notes, screen, shown, table
from node.cli.session import Session
from node.client.escrow import ChainReader, Rpc
from node.client.settlements import Challenge, SettledReader, find_challenges, watch_once
from node.client.store import WalletWriter, open_engine
from node.client.x402 import SignedReceipt
from node.core.errors import BadConfig, BadVoucher, CallReverted
from node.core.messages import Claim, Receipt
from node.core.types import Address
from node.core.wire import message_from_json, signature_of

SETTLED_ALREADY = frozenset({"Escrow_NoExcess", "Escrow_NothingToSlash"})
"""The escrow's words for "somebody challenged this before, and there is nothing more to get"."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where overclaims are looked for: the gateway's wallet, a file with evidence, or both."""

    wallet: Path | None
    evidence: Path | None


async def challenge(session: Session, rpc: Sequence[str], sources: Sources, *, is_agreed: bool) -> dict[str, Any]:
    """Find, show, ask, send. Raises BadConfig for unreadable sources."""
    payer = session.account.address
    found = [] if sources.evidence is None else [read_evidence(sources.evidence)]
    if sources.wallet is not None:
        found += await _from_wallet(session, rpc, sources.wallet, payer)
    _show(session, found)
    if not found:
        return {"challenges": [], "transactions": []}
    confirm("Challenge these claims?", is_agreed=is_agreed)
    outcomes = [await _send(session, one) for one in found]
    session.show_sent()
    return {"challenges": outcomes, "transactions": session.sent_json()}


def read_evidence(file: Path) -> Challenge:
    """A challenge as JSON: claim, claimSignature, receipt, signature. Raises BadConfig."""
    try:
        document = json.loads(file.read_text())
    except OSError as exc:
        raise BadConfig(f"cannot read the evidence {file}: {exc.strerror}") from exc
    except ValueError as exc:
        raise BadConfig(f"the evidence {file} is not JSON") from exc
    if not isinstance(document, dict):
        raise BadConfig(f"the evidence {file} is not an object")
    try:
        return Challenge(
            message_from_json(Claim, document.get("claim")),
            signature_of(document.get("claimSignature"), "claimSignature"),
            SignedReceipt(message_from_json(Receipt, document.get("receipt")), signature_of(document.get("signature"))),
        )
    except BadVoucher as exc:
        raise BadConfig(f"the evidence {file} is wrong: {exc.message}") from exc


async def _from_wallet(session: Session, rpc: Sequence[str], wallet: Path, payer: Address) -> list[Challenge]:
    """Everything finalised is compared with the wallet's receipts first, so that nothing is overlooked."""
    if not await asyncio.to_thread(wallet.exists):
        raise BadConfig(f"there is no wallet {wallet}: name the gateway's with --wallet")
    chain = ChainReader(session.deployment, Rpc(rpc))
    reader, writer = SettledReader(chain, recover), WalletWriter(open_engine(wallet))
    try:
        await watch_once(payer, reader, chain, writer, SystemClock())
        return await writer.run(lambda books: find_challenges(books, reader))
    finally:
        writer.close()
        chain.rpc.close()


async def _send(session: Session, one: Challenge) -> dict[str, Any]:
    arguments = (
        struct_of(one.claim),
        compact(one.claim_signature),
        struct_of(one.shown.receipt),
        compact(one.shown.signature),
    )
    said = {**one.to_json(), "outcome": "sent"}
    try:
        await session.escrow("challenge an overclaim", "challengeOverclaim", *arguments)
    except CallReverted as exc:
        if exc.facts.get("error") not in SETTLED_ALREADY:
            raise
        notes.print(f"  nothing left to get from {checksummed(one.claim.payee)} for this claim: {exc.message}")
        said["outcome"] = "already_settled"
    return said


def struct_of(message: Claim | Receipt) -> Mapping[str, object]:
    """A message as the ABI's struct: camelCase names."""
    out: dict[str, object] = {}
    for member in fields(message):
        head, *rest = member.name.split("_")
        out[head + "".join(part.title() for part in rest)] = getattr(message, member.name)
    return out


def _show(session: Session, found: Sequence[Challenge]) -> None:
    if session.is_quiet:
        return
    if not found:
        screen.print("no overclaim: every finalised settlement agrees with the receipts held")
        return
    made = table("Overclaims", "address", "claimed", "its own receipt says")
    for one in found:
        said = (one.claim.cumulative, one.shown.receipt.cumulative)
        made.add_row(checksummed(one.claim.payee), *(shown(amount, session.deployment) for amount in said))
    screen.print(made)
