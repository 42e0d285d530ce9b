"""What anybody may ask of the books: receipts by id, by lane and by settled root, and a lane's totals. Writes nothing.

Receipts are public evidence and carry no content, only salted hashes; salt and answer stay with the two parties.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from node.core.account import LaneState
from node.core.errors import Gone, InProgress, NotFound, TooLarge
from node.core.hashing import Domain
from node.core.merkle import Peaks, inclusion_proof, leaf_hash
from node.core.messages import Claim
from node.core.settlement import SignedClaim
from node.core.types import Address, Bytes32, LaneKey, Micros
from node.core.wire import hex_of, message_to_json
from node.ports.basics import Signer
from node.ports.ledger import Ledger, Stored
from node.ports.settling import SettlementBook
from node.services.answers import AnswerSigner
from node.services.signing import OperatorOf, sign_as

MAX_ROWS = 500
"""A page of receipts: about 1 MB."""
PEAKS_PAGE = 5_000
PEAKS_KEPT = 256
"""Trees remembered at the ends of pages, so that who reads on does not make us build the tree again from its start."""
PROVED_LEAVES = 1 << 17
"""A proof takes the whole tree; of a larger one the pages show the same."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """The read routes' use case."""

    ledger: Ledger
    settlements: SettlementBook
    signer: Signer
    domain: Domain
    operator_of: OperatorOf
    _trees: OrderedDict[tuple[LaneKey, int], Peaks] = field(default_factory=OrderedDict)
    _answers: AnswerSigner = field(init=False)

    def __post_init__(self) -> None:
        """The answers that receipts name are made by the same key."""
        object.__setattr__(self, "_answers", AnswerSigner(self.signer, self.domain, self.operator_of))

    async def by_id(self, payer: Address, lane: Address, request_id: Bytes32) -> dict[str, Any]:
        """Raises NotFound, or InProgress while it is open."""
        stored = await self.ledger.load_request(payer, lane, request_id)
        if stored is None:
            raise NotFound("no such request in this lane", param="request_id")
        if stored.receipt is None:
            raise InProgress("this request is being served now", retry_after=1)
        return self._row(stored)

    async def of_lane(self, key: LaneKey, after: Micros, limit: int) -> dict[str, Any]:
        """A page in order of seq; `next` is the `after` of the next page."""
        page = await self.ledger.load_receipts(key, after, min(limit, MAX_ROWS))
        seqs = [stored.receipt.seq for stored in page if stored.receipt]
        return {"receipts": self._rows(page), "next": str(seqs[-1]) if len(page) >= min(limit, MAX_ROWS) else None}

    async def of_settlement(self, root: Bytes32, first: int, limit: int) -> dict[str, Any]:
        """A page of the leaves under a claimed root, with the peaks of the leaves before it. Raises NotFound, Gone."""
        found = await self._claim_over(root, first)
        claim, key = found.claim, _key_of(found.claim)
        wanted = min(limit, MAX_ROWS, claim.count - first)
        page = await self.ledger.load_receipts_from(key, first, wanted)
        if len(page) < wanted:
            raise _pruned()
        peaks, end = await self._peaks(key, first), first + len(page)
        self._remember(key, peaks.extend(_leaves(page)))
        return {
            "root": hex_of(root),
            "count": claim.count,
            "claim": message_to_json(claim),
            "claimSignature": hex_of(found.signature),
            "voucher": message_to_json(found.voucher),
            "voucherSignature": hex_of(found.voucher_signature),
            "peaks": [hex_of(peak) for peak in peaks.hashes],
            "receipts": self._rows(page),
            "next": end if end < claim.count else None,
        }

    async def proof(self, root: Bytes32, index: int) -> dict[str, Any]:
        """That one receipt is under a claimed root: its leaf's audit path. Raises NotFound, Gone or TooLarge."""
        claim = (await self._claim_over(root, index + 1)).claim
        if claim.count > PROVED_LEAVES:
            raise TooLarge(
                f"proofs are made of trees of up to {PROVED_LEAVES} receipts; read the pages", count=claim.count
            )
        leaves = list[Bytes32]()
        while len(leaves) < claim.count:
            wanted = min(PEAKS_PAGE, claim.count - len(leaves))
            page = await self.ledger.load_receipts_from(_key_of(claim), len(leaves), wanted)
            if len(page) < wanted:
                raise _pruned()
            leaves += await asyncio.to_thread(_leaves, page)
        path = await asyncio.to_thread(inclusion_proof, leaves, index)
        (stored,) = await self.ledger.load_receipts_from(_key_of(claim), index, 1)
        about = {"root": hex_of(root), "count": claim.count, "index": index, "leaf": hex_of(leaves[index])}
        return {**about, "proof": [hex_of(sibling) for sibling in path], **self._row(stored)}

    async def _claim_over(self, root: Bytes32, count: int) -> SignedClaim:
        found = await self.settlements.load_claim_of_root(root)
        if found is None or count > found.claim.count:
            raise NotFound("this node claimed no such root, or it has fewer receipts")
        return found

    async def lane(self, key: LaneKey) -> dict[str, Any]:
        """A lane's totals with its last receipt and best voucher: what either side needs to agree again (rule 6)."""
        lane = await self.ledger.load_lane(key)
        if lane is None:
            raise NotFound("this node has no such lane in that generation")
        best = await self.ledger.load_best_voucher(key)
        last = await self.ledger.load_receipts(key, Micros(lane.seq - 1), 1) if lane.seq else ()
        return {
            **_totals(lane),
            "lastReceipt": self._row(last[0]) if last else None,
            "bestVoucher": {"voucher": message_to_json(best[0]), "signature": hex_of(best[1])} if best else None,
        }

    async def _peaks(self, key: LaneKey, count: int) -> Peaks:
        """The tree of the first `count` leaves: from where a page ended, or from the last claim before it."""
        if count == 0:
            return Peaks()
        if (known := self._trees.get((key, count))) is not None:
            return known
        peaks = await self.settlements.load_peaks(key, count)
        while peaks.count < count:
            page = await self.ledger.load_receipts_from(key, peaks.count, min(PEAKS_PAGE, count - peaks.count))
            if not page:
                raise _pruned()
            peaks = peaks.extend(_leaves(page))
        return peaks

    def _remember(self, key: LaneKey, peaks: Peaks) -> None:
        self._trees[key, peaks.count] = peaks
        while len(self._trees) > PEAKS_KEPT:
            self._trees.popitem(last=False)

    def _rows(self, page: Sequence[Stored]) -> list[dict[str, Any]]:
        return [self._row(stored) for stored in page if stored.receipt]

    def _row(self, stored: Stored) -> dict[str, Any]:
        receipt, admission = stored.receipt, stored.admission
        if receipt is None:
            raise NotFound("this request has no receipt yet")
        digest, generation = self.domain.digest(receipt.struct_hash()), receipt.generation
        signature = stored.signature or sign_as(self.signer, self.operator_of(generation), generation, digest)
        answer = self._answers.signed(admission, receipt)
        return {
            **({} if answer is None else {"answer": answer.to_json()}),
            "receipt": message_to_json(receipt),
            "signature": hex_of(signature),
            "terms": message_to_json(admission.terms),
            "voucher": message_to_json(admission.voucher),
            "voucherSignature": hex_of(admission.signature),
        }


def _key_of(claim: Claim) -> LaneKey:
    return LaneKey(claim.payer, claim.payee, claim.lane, claim.generation)


def _leaves(page: Sequence[Stored]) -> list[Bytes32]:
    return [leaf_hash(stored.receipt.struct_hash()) for stored in page if stored.receipt]


def _pruned() -> Gone:
    return Gone("these receipts are no longer kept; the settlement itself is on chain")


def _totals(lane: LaneState) -> Mapping[str, Any]:
    return {
        "generation": lane.key.generation,
        "base": str(lane.base),
        "charged": str(lane.charged),
        "reserved": str(lane.reserved),
        "bestCeiling": str(lane.best),
        "claimed": str(lane.claimed),
        "cap": str(lane.cap),
        "seq": str(lane.seq),
        "count": lane.count,
        "isFrozen": lane.is_frozen,
    }
