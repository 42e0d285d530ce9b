"""A lane goes on in a new generation: its owner shows our last receipt, and what we may have lost (protocol rule 6).

Only the other side's proof counts: the owner's note is signed by the lane, receipts by our own operator key. Receipts
that a restored database lacks are put back, and the claims that were mined over them are made again, so that every
settlement can still be served. A receipt of the *present* generation that is newer than the books means
that the books are stale.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.core.account import Admission, LaneState
from node.core.errors import BadVoucher, BooksStale, StaleGeneration, WrongSignature
from node.core.hashing import Domain
from node.core.messages import Claim, Receipt
from node.core.recovery import INSTRUCTION, LaneNote, SettledClaim
from node.core.settlement import SignedClaim, Tree
from node.core.types import ZERO32, Amount, LaneKey, Micros, Seconds, Signature
from node.ports.basics import Clock, Signer
from node.ports.ledger import Ledger, Stored
from node.ports.recovery import RecoveryBook
from node.ports.settling import SettlementBook
from node.ports.tower import Tower
from node.services.chain_view import ChainView
from node.services.parts import Recover
from node.services.recovery import Recovery
from node.services.x402 import SignedReceipt

PAGE = 2_000


@dataclass(frozen=True, slots=True)
class ResyncAsk:
    """A lane's signed wish, with the receipts it thinks we lost, oldest first. `has_more`: do not open the lane yet."""

    note: LaneNote
    signature: Signature
    last: SignedReceipt | None
    found: Sequence[Stored] = ()
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Resync:
    """The use case of `POST /v1/lanes/resync`."""

    ledger: Ledger
    book: RecoveryBook
    settlements: SettlementBook
    chain: ChainView
    recovery: Recovery
    signer: Signer
    recover: Recover
    clock: Clock
    domain: Domain
    towers: Sequence[Tower] = ()

    async def reopen(self, ask: ResyncAsk) -> LaneState:
        """The lane, open. Raises WrongSignature, StaleGeneration, BadVoucher, BooksStale, LaneFrozen, NotFound."""
        await self._check_note(ask)
        last = ask.last.receipt if ask.last else None
        if ask.last is not None:
            self._check_ours(ask, ask.last.receipt, ask.last.signature)
        if last is not None and last.generation == ask.note.generation:
            return await self._check_present(ask.note.key, last)
        await self._put_back(ask)
        if ask.has_more:
            return await self.ledger.load_lane(ask.note.key) or LaneState(ask.note.key)
        proved = max(last.cumulative if last else 0, await self._pushed(ask.note.key))
        return await self.book.reopen_lane(ask.note.key, Amount(proved))

    async def _check_note(self, ask: ResyncAsk) -> None:
        note = ask.note
        shown = ask.last.receipt.struct_hash() if ask.last else ZERO32
        if note.last_receipt != shown:
            raise BadVoucher("the note does not name the receipt that comes with it", field="lastReceipt")
        standing = await self.chain.standing(note.payer, note.lane)
        if self.recover(self.domain.digest(note.struct_hash()), ask.signature) != note.lane:
            raise WrongSignature("the note is not signed by its lane")
        if standing.payee != note.payee or standing.signer_payer != note.payer:
            raise WrongSignature("the lane is no live signer of this payer", recovered="0x" + note.lane.hex())
        if standing.generation != note.generation or self.recovery.serving.suspended:
            raise StaleGeneration("lanes open in the payee's present generation alone", generation=standing.generation)

    def _check_ours(self, ask: ResyncAsk, receipt: Receipt, signature: Signature) -> None:
        note = ask.note
        if (receipt.payer, receipt.payee, receipt.lane) != (note.payer, note.payee, note.lane):
            raise BadVoucher("a receipt of another lane", field="lastReceipt")
        operator = self.chain.payee_view.operator_of(receipt.generation)
        if self.recover(self.domain.digest(receipt.struct_hash()), signature) != operator:
            raise WrongSignature("a receipt that this payee never signed")

    async def _check_present(self, key: LaneKey, last: Receipt) -> LaneState:
        """The lane is open already; unless it knows more than we do."""
        lane = await self.ledger.load_lane(key)
        if lane is None or last.seq > lane.seq:
            await self.recovery.suspend(key.generation, ["a client holds a receipt that is newer than the books"])
            raise BooksStale(f"this node's books are older than a receipt it signed; {INSTRUCTION}")
        return lane

    async def _pushed(self, key: LaneKey) -> int:
        """The highest total that a watchtower holds for this lane, in whatever generation, signed by us."""
        highest = 0
        for tower in self.towers:
            for held in await tower.load_claims(key.payee):
                claim = held.claim
                if (claim.payer, claim.lane) != (key.payer, key.lane):
                    continue
                signed_by = self.recover(self.domain.digest(claim.struct_hash()), held.signature)
                if signed_by == self.chain.payee_view.operator_of(claim.generation):
                    highest = max(highest, claim.cumulative)
        return highest

    # --- evidence
    async def _put_back(self, ask: ResyncAsk) -> None:
        now = Seconds(int(self.clock.now()))
        by_generation: dict[int, list[Stored]] = {}
        for stored in ask.found:
            self._check_found(ask, stored)
            by_generation.setdefault(stored.admission.key.generation, []).append(stored)
        for generation, rows in sorted(by_generation.items()):
            await self.book.restore_receipts(replace(ask.note.key, generation=generation), rows, now)
        if by_generation:
            for settled in await self.book.load_settled(ask.note.key):
                await self._make_again(settled)

    def _check_found(self, ask: ResyncAsk, stored: Stored) -> None:
        """Everything an auditor would check, before it goes into the books."""
        admission, receipt = stored.admission, stored.receipt
        if receipt is None or stored.signature is None or receipt.generation >= ask.note.generation:
            raise BadVoucher("only receipts of closed generations are put back", field="receipts")
        self._check_ours(ask, receipt, stored.signature)
        if not _belongs(admission, receipt):
            raise BadVoucher("a receipt, its terms and its voucher do not belong together", field="receipts")
        signed_by = self.recover(self.domain.digest(admission.voucher.struct_hash()), admission.signature)
        if signed_by != ask.note.lane:
            raise WrongSignature("a voucher that this lane never signed")

    async def _make_again(self, settled: SettledClaim) -> None:
        """A mined claim that the books lack, from its receipts: same members, same signature (it is deterministic)."""
        key = settled.key
        known = await self.settlements.load_claim_of_root(settled.root)
        best = await self.ledger.load_best_voucher(key)
        if known is not None or best is None or self._operator_is_gone(key):
            return
        tree = Tree()
        while tree.seq < settled.seq:
            page = await self.settlements.load_receipts_after(key, tree.seq, PAGE)
            rows = [receipt for receipt in page if receipt.seq <= settled.seq]
            if not rows:
                break
            tree = tree.grown(rows)
        if (tree.peaks.count, tree.peaks.root) != (settled.count, settled.root):
            return  # receipts are still missing: a root cannot be guessed
        claim = _claim_of(settled)
        signature = self.signer.sign(self.domain.digest(claim.struct_hash()))
        await self.book.keep_claim(SignedClaim(claim, signature, *best, tree.peaks))

    def _operator_is_gone(self, key: LaneKey) -> bool:
        return self.chain.payee_view.operator_of(key.generation) != self.signer.address


def _belongs(admission: Admission, receipt: Receipt) -> bool:
    voucher, terms, key = admission.voucher, admission.terms, admission.key
    context = terms.struct_hash()
    return (
        (voucher.payer, voucher.payee, voucher.generation) == (key.payer, key.payee, key.generation)
        and (voucher.context, receipt.context) == (context, context)
        and (receipt.request_id, receipt.request_hash) == (terms.request_id, terms.request_hash)
        and receipt.key == key
        and receipt.charge <= terms.max_price
    )


def _claim_of(settled: SettledClaim) -> Claim:
    key = settled.key
    return Claim(
        payer=key.payer,
        payee=key.payee,
        lane=key.lane,
        generation=key.generation,
        seq=Micros(settled.seq),
        cumulative=settled.cumulative,
        receipts_root=settled.root,
        count=settled.count,
    )
