"""Rule 10: every settlement of this payer's lanes against the receipts it holds. An overclaim is found and made ready.

The claim and its signature are read from the mined transaction itself, so that the proof needs nobody's cooperation.
Sending is not done here: `scripts/prepay.py challenge` sends what `find_challenges` returns.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from node.client import tables
from node.client.books import Books
from node.client.escrow import ChainReader, load_abi, type_of
from node.client.payer import Recover
from node.client.rows import is_lane, key_of, lane_values
from node.client.store import WalletWriter
from node.client.verify import Problem
from node.client.x402 import SignedReceipt
from node.core.errors import BadConfig, ChainUnavailable, WrongSignature
from node.core.hashing import address_word, keccak
from node.core.messages import Claim, Receipt
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature
from node.core.wire import hex_of, message_from_json, message_to_json
from node.ports.basics import Clock

CURSOR = "settled"
BLOCKS_A_CALL = 2_000
"""Most RPC endpoints answer log queries of this size."""
WORD = 32
FINE, GAP, OVERCLAIM = "fine", "gap", "overclaim"


@dataclass(frozen=True, slots=True)
class Settled:
    """One `Settled` event of a lane of ours."""

    tx_hash: Bytes32
    log_index: int
    block_number: int
    key: LaneKey
    seq: Micros
    cumulative: Amount
    paid: Amount
    claimed_after: Amount
    count: int
    root: Bytes32


@dataclass(frozen=True, slots=True)
class Challenge:
    """The arguments of `Escrow.challengeOverclaim`: two statements of one operator that contradict each other."""

    claim: Claim
    claim_signature: Signature
    shown: SignedReceipt

    def to_json(self) -> dict[str, Any]:
        """For people, and as evidence."""
        return {
            "claim": message_to_json(self.claim),
            "claimSignature": hex_of(self.claim_signature),
            **self.shown.to_json(),
        }


class SettledReader:
    """`Settled` events and the claims behind them, from the chain."""

    def __init__(self, chain: ChainReader, recover: Recover) -> None:
        self._chain = chain
        self._recover = recover
        abi = load_abi("Escrow")
        event = _entry(abi, "event", "Settled")
        self._members = [member for member in event["inputs"] if not member["indexed"]]
        types = ",".join(type_of(member) for member in event["inputs"])
        self._signature_at = _distance(_entry(abi, "function", "claim")["inputs"][0], "receiptsRoot", "claimSig")
        self._topic = hex_of(keccak(f"Settled({types})".encode()))

    def read(self, payer: Address, first: int, last: int) -> list[Settled]:
        """The payer's settlements in these blocks. Raises ChainUnavailable."""
        query = {
            "address": hex_of(self._chain.deployment.escrow),
            "topics": [self._topic, hex_of(address_word(payer))],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        return [self._settled_of(log) for log in self._chain.rpc.call("eth_getLogs", query)]

    def _settled_of(self, log: Mapping[str, Any]) -> Settled:
        try:
            values = decode([type_of(member) for member in self._members], bytes.fromhex(log["data"][2:]))
            named = {member["name"]: value for member, value in zip(self._members, values, strict=True)}
            payer, payee, lane = (Address(bytes.fromhex(topic[2:])[12:]) for topic in log["topics"][1:4])
        except (DecodingError, ValueError, KeyError) as exc:
            raise ChainUnavailable("the RPC endpoint's log is not what the escrow emits") from exc
        return Settled(
            tx_hash=Bytes32(bytes.fromhex(log["transactionHash"][2:])),
            log_index=int(log["logIndex"], 16),
            block_number=int(log["blockNumber"], 16),
            key=LaneKey(payer, payee, lane, int(named["generation"])),
            seq=Micros(int(named["seq"])),
            cumulative=Amount(int(named["cumulative"])),
            paid=Amount(int(named["paid"])),
            claimed_after=Amount(int(named["claimedAfter"])),
            count=int(named["count"]),
            root=Bytes32(bytes(named["root"])),
        )

    def read_claim(self, tx_hash: Bytes32, claim: Claim) -> Signature | None:
        """The operator's signature of that claim, from the transaction that settled it.

        Whoever calls the escrow through a contract of its own, to hide it, must still hand it over: it is looked for in
        the transaction's own data, then (where an endpoint traces) in the data of every call inside it. None if it is
        in neither; a claim and signature from elsewhere go to `prepay.py challenge --evidence`.
        """
        for data in self._inputs(tx_hash):
            for signature in signatures_behind(claim.receipts_root, data, self._signature_at):
                if self._is_operators(claim, signature):
                    return signature
        return None

    def _inputs(self, tx_hash: Bytes32) -> Iterator[bytes]:
        transaction = self._chain.rpc.call("eth_getTransactionByHash", hex_of(tx_hash))
        yield _octets((transaction or {}).get("input"))
        try:
            trace = self._chain.rpc.call("debug_traceTransaction", hex_of(tx_hash), {"tracer": "callTracer"})
        except ChainUnavailable:
            return
        calls = [trace]
        while calls:
            call = calls.pop()
            if isinstance(call, dict):
                yield _octets(call.get("input"))
                calls += call.get("calls") or []

    def _is_operators(self, claim: Claim, signature: Signature) -> bool:
        try:
            signer = self._recover(self._chain.deployment.domain.digest(claim.struct_hash()), signature)
        except WrongSignature:
            return False
        return signer == self._chain.read_operator(claim.payee, claim.generation)


def signatures_behind(root: Bytes32, data: bytes, distance: int) -> Iterator[Signature]:
    """What stands `distance` bytes behind the root, wherever in `data` that is: there a claim row has its signature."""
    at = data.find(root)
    while at >= 0:
        start = at + distance
        if len(data) >= start + 2 * WORD:
            yield long_signature(data[start : start + WORD], data[start + WORD : start + 2 * WORD])
        at = data.find(root, at + 1)


def _distance(row: Mapping[str, Any], first: str, last: str) -> int:
    """Bytes from the beginning of one member of a claim row to that of another; rows have no dynamic members."""
    at, begins = 0, dict[str, int]()
    for member in row["components"]:
        begins[member["name"]] = at
        at += WORD * len(member.get("components", "1"))
    return begins[last] - begins[first]


def _octets(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text or "0x")[2:])
    except ValueError as exc:
        raise ChainUnavailable("the RPC endpoint's call data is not hex") from exc


def long_signature(r: bytes, vs: bytes) -> Signature:
    """From the escrow's 64-byte form to ours: the top bit of `vs` is the recovery bit."""
    v = 27 + (vs[0] >> 7)
    return Signature(r + bytes((vs[0] & 0x7F,)) + vs[1:] + bytes((v,)))


def _entry(abi: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    found = next((entry for entry in abi if entry.get("type") == kind and entry.get("name") == name), None)
    if found is None:
        raise BadConfig(f"the shipped ABI of Escrow has no {name}: install wwwserve again")
    return found


# ------------------------------------------------------------------------------------------------ judging, in the books


def find_contradiction(books: Books, settled: Settled) -> SignedReceipt | None:
    """A receipt of ours that is not older than the claim and says less: the operator signed both."""
    table = tables.receipt
    later = (*is_lane(table, settled.key), table.c.seq >= settled.seq, table.c.cumulative < settled.cumulative)
    query = select(table.c.message, table.c.signature).where(*later).order_by(table.c.seq).limit(1)
    row = books.connection.execute(query).first()
    if row is None:
        return None
    return SignedReceipt(message_from_json(Receipt, json.loads(row.message)), Signature(row.signature))


def judge(books: Books, settled: Settled, now: Seconds) -> str:
    """Compare, keep the verdict, and act on it: a gap is counted, an overclaim stops the payee. Idempotent."""
    known = _known_verdict(books, settled)
    if known in (FINE, OVERCLAIM):
        return known
    shown = find_contradiction(books, settled)
    verdict = FINE if settled.cumulative <= books.hear(settled.key, settled.cumulative, now).explained else GAP
    if shown is not None:
        verdict = OVERCLAIM
        text = f"claimed {settled.cumulative}, but its own later receipt says {shown.receipt.cumulative}"
        evidence: dict[str, object] = {"tx": hex_of(settled.tx_hash), "root": hex_of(settled.root), **shown.to_json()}
        books.stop(settled.key, Problem("overclaim", text), evidence, now)
    _save(books, settled, verdict)
    return verdict


def _known_verdict(books: Books, settled: Settled) -> str | None:
    table = tables.settlement
    same = (table.c.tx_hash == settled.tx_hash, table.c.log_index == settled.log_index)
    verdict: str | None = books.connection.execute(select(table.c.verdict).where(*same)).scalar()
    return verdict


def _save(books: Books, settled: Settled, verdict: str) -> None:
    values = {
        "tx_hash": settled.tx_hash,
        "log_index": settled.log_index,
        "block_number": settled.block_number,
        **lane_values(settled.key),
        "seq": settled.seq,
        "cumulative": settled.cumulative,
        "paid": settled.paid,
        "claimed_after": settled.claimed_after,
        "count": settled.count,
        "root": settled.root,
        "verdict": verdict,
    }
    statement = insert(tables.settlement).values(**values)
    keys = ["tx_hash", "log_index"]
    books.connection.execute(statement.on_conflict_do_update(index_elements=keys, set_={"verdict": verdict}))


def load_settled(books: Books, verdict: str) -> list[Settled]:
    """The settlements with that verdict."""
    table = tables.settlement
    rows = books.connection.execute(select(table).where(table.c.verdict == verdict)).all()
    return [
        Settled(
            row.tx_hash,
            row.log_index,
            row.block_number,
            key_of(row),
            row.seq,
            row.cumulative,
            row.paid,
            row.claimed_after,
            int(row._mapping["count"]),  # noqa: SLF001 -- SQLAlchemy's public way around tuple.count
            row.root,
        )
        for row in rows
    ]


# ---------------------------------------------------------------------------------------------------- watching


async def watch_once(
    payer: Address, reader: SettledReader, chain: ChainReader, wallet: WalletWriter, clock: Clock
) -> None:
    """Read what is finalised since the last call, judge it, and judge the open gaps again. Raises ChainUnavailable."""
    last = await asyncio.to_thread(chain.finalised_block)
    first: int = await wallet.run(lambda books: books.load_cursor(CURSOR, chain.deployment.deploy_block))
    while first <= last:
        until = min(first + BLOCKS_A_CALL - 1, last)
        found = await asyncio.to_thread(reader.read, payer, first, until)
        await wallet.run(partial(_judge_page, found=found, following=until + 1, now=Seconds(int(clock.now()))))
        first = until + 1
    gaps = await wallet.run(lambda books: load_settled(books, GAP))
    for settled in gaps:
        await wallet.run(partial(judge, settled=settled, now=Seconds(int(clock.now()))))


def _judge_page(books: Books, found: list[Settled], following: int, now: Seconds) -> None:
    for settled in found:
        judge(books, settled, now)
    books.save_cursor(CURSOR, following)


def find_challenges(books: Books, reader: SettledReader) -> list[Challenge]:
    """Every proved overclaim, ready to be sent. Raises ChainUnavailable."""
    found = []
    for settled in load_settled(books, OVERCLAIM):
        shown, key = find_contradiction(books, settled), settled.key
        claim = Claim(
            key.payer, key.payee, key.lane, key.generation, settled.seq, settled.cumulative, settled.root, settled.count
        )
        signature = reader.read_claim(settled.tx_hash, claim)
        if shown is not None and signature is not None:
            found.append(Challenge(claim, signature, shown))
    return found
