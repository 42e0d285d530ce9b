"""Turn charges into claims: pick due lanes, commit all their receipts by a Merkle root, sign, want the transaction.

Sends nothing (services/sender does) and decides nothing about amounts: a claim says what the receipts already said.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.core.errors import Broken, KeyNotHere
from node.core.hashing import Domain
from node.core.messages import Claim
from node.core.settlement import DueLane, GasTerms, SignedClaim, Tree, Trigger, deadline_of, plan
from node.core.transactions import Wish
from node.core.types import Address, Amount, Seconds
from node.ports.basics import Clock, Signer
from node.ports.chain import Chain
from node.ports.settling import SettlementBook
from node.ports.tower import Tower
from node.services.signing import OperatorOf, check_key, sign_as
from node.services.tower_push import show_towers

PAGE = 2_000
"""Receipts read at once while a tree grows."""
LANES = 1_000
"""Lanes looked at in one run, the largest first."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """The owner's settings. `currency_per_native` 0: gas is free here (a development chain)."""

    currency_per_native: Amount
    threshold: Amount
    gas_per_row: int = 40_000
    max_fee_per_gas: int = 200 * 10**9
    """Wei. More is never paid, so an endpoint that names an absurd price must not stop settling (threat I3)."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one run wanted: outbox ids, and the lanes it left alone with the reason."""

    outbox_ids: tuple[int, ...] = ()
    lanes: int = 0
    amount: Amount = Amount(0)
    skipped: tuple[tuple[DueLane, str], ...] = ()


@dataclass(slots=True)
class _Tally:
    ids: list[int] = field(default_factory=list)
    claims: list[SignedClaim] = field(default_factory=list)
    amount: int = 0
    skipped: list[tuple[DueLane, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settler:
    """One payee's settling. `signer` is its operator key, `sender` the address whose transactions carry the claims."""

    chain: Chain
    book: SettlementBook
    signer: Signer
    clock: Clock
    domain: Domain
    payee: Address
    sender: Address
    policy: SettlePolicy
    operator_of: OperatorOf
    towers: Sequence[Tower] = ()

    async def settle(self, trigger: Trigger = Trigger.SCHEDULED) -> Settlement:
        """Want the transactions that are due now. Raises ChainUnavailable or LedgerUnavailable; nothing is lost."""
        lanes = await self.book.load_due(self.payee, LANES)
        if not lanes:
            return Settlement()
        fees = await self.chain.fetch_fees()
        gas = GasTerms(
            max_fee_per_gas=min(fees.base_fee + fees.tip, self.policy.max_fee_per_gas),
            currency_per_native=self.policy.currency_per_native,
            gas_per_row=self.policy.gas_per_row,
            threshold=self.policy.threshold,
        )
        tally = _Tally()
        for batch in plan(lanes, gas, Seconds(int(self.clock.now())), trigger):
            await self._settle_batch(batch, tally)
        return Settlement(tuple(tally.ids), len(tally.claims), Amount(tally.amount), tuple(tally.skipped))

    async def _settle_batch(self, batch: Sequence[DueLane], tally: _Tally) -> None:
        rows = [(lane, claim) for lane in batch if (claim := await self._claim_or_skip(lane, tally)) is not None]
        previews = await self.chain.preview_claims([claim for _, claim in rows]) if rows else []
        paying: list[tuple[DueLane, SignedClaim]] = []
        for (lane, claim), preview in zip(rows, previews, strict=True):
            if preview.is_paying:
                paying.append((lane, claim))
                tally.amount += preview.paid
                continue
            tally.skipped.append((lane, preview.status))
            log.warning("lane 0x%s cannot be claimed now: %s", lane.key.lane.hex(), preview.status)
        if not paying:
            return
        claims = [claim for _, claim in paying]
        await show_towers(self.towers, claims)
        row_id = await self.book.save_claims(claims, self._wish(claims, [lane for lane, _ in paying]))
        if row_id is not None:
            tally.ids.append(row_id)
            tally.claims += claims

    async def _claim_or_skip(self, lane: DueLane, tally: _Tally) -> SignedClaim | None:
        """One lane whose receipts do not add up must not stop the others; it is never claimed on a guess."""
        try:
            return await self.build_claim(lane)
        except KeyNotHere as exc:
            log.warning("lane 0x%s is not settled: %s", lane.key.lane.hex(), exc.message)
            tally.skipped.append((lane, exc.message))
        except Broken as exc:
            log.exception("lane 0x%s is not settled", lane.key.lane.hex())
            tally.skipped.append((lane, exc.message))
        return None

    async def build_claim(self, lane: DueLane) -> SignedClaim:
        """A signed claim over everything charged. Raises Broken when the lane's receipts do not add up, KeyNotHere."""
        operator, generation = self.operator_of(lane.key.generation), lane.key.generation
        check_key(self.signer, operator, generation)
        tree = await self._grown_tree(lane)
        claim = Claim(
            payer=lane.key.payer,
            payee=lane.key.payee,
            lane=lane.key.lane,
            generation=lane.key.generation,
            seq=tree.seq,
            cumulative=lane.charged,
            receipts_root=tree.peaks.root,
            count=tree.peaks.count,
        )
        signature = sign_as(self.signer, operator, generation, self.domain.digest(claim.struct_hash()))
        return SignedClaim(claim, signature, lane.voucher, lane.voucher_signature, tree.peaks)

    async def _grown_tree(self, lane: DueLane) -> Tree:
        """The last claim's tree with every receipt since, checked against the lane's own totals (INV12, INV13)."""
        tree = Tree.of(await self.book.load_last_claim(lane.key))
        while tree.seq < lane.seq:
            page = await self.book.load_receipts_after(lane.key, tree.seq, PAGE)
            known = [receipt for receipt in page if receipt.seq <= lane.seq]  # newer ones are the next claim's
            if not known:
                break
            tree = tree.grown(known)
        if (tree.seq, tree.cumulative, tree.peaks.count) != (lane.seq, lane.charged, lane.count):
            raise Broken("a lane's totals differ from its receipts", seq=tree.seq, charged=lane.charged)
        return tree

    def _wish(self, claims: Sequence[SignedClaim], lanes: Sequence[DueLane]) -> Wish:
        first = claims[0].claim.struct_hash().hex()
        return Wish(
            key=f"claim:{first}",
            kind="claim",
            sender=self.sender,
            call=self.chain.claim_call(claims),
            deadline=deadline_of(lanes),
        )
