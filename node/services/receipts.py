"""What anybody may ask of the books: receipts by id, by lane and by settled root, and a lane's totals. Writes nothing.

Receipts are public evidence and carry no content, only salted hashes; salt and answer stay with the two parties.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.core.account import LaneState
from node.core.errors import InProgress, NotFound
from node.core.hashing import Domain
from node.core.merkle import Peaks, leaf_hash
from node.core.types import Address, Bytes32, LaneKey, Micros
from node.core.wire import hex_of, message_to_json
from node.ports.basics import Signer
from node.ports.ledger import Ledger, Stored
from node.ports.settling import SettlementBook
from node.services.signing import OperatorOf, sign_as

MAX_ROWS = 500
"""A page of receipts: about 1 MB."""
PEAKS_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Receipts:
    """The read routes' use case."""

    ledger: Ledger
    settlements: SettlementBook
    signer: Signer
    domain: Domain
    operator_of: OperatorOf

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
        """A page of the leaves under a claimed root, with the peaks of the leaves before it. Raises NotFound."""
        found = await self.settlements.load_claim_of_root(root)
        if found is None or first > found.claim.count:
            raise NotFound("this node claimed no such root, or it has fewer receipts")
        claim = found.claim
        key = LaneKey(claim.payer, claim.payee, claim.lane, claim.generation)
        wanted = min(limit, MAX_ROWS, claim.count - first)
        page = await self.ledger.load_receipts_from(key, first, wanted)
        end = first + len(page)
        return {
            "root": hex_of(root),
            "count": claim.count,
            "claim": message_to_json(claim),
            "claimSignature": hex_of(found.signature),
            "voucher": message_to_json(found.voucher),
            "voucherSignature": hex_of(found.voucher_signature),
            "peaks": [hex_of(peak) for peak in (await self._peaks(key, first)).hashes],
            "receipts": self._rows(page),
            "next": end if end < claim.count else None,
        }

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
        """The tree of the first `count` leaves, built page by page."""
        peaks = Peaks()
        while peaks.count < count:
            page = await self.ledger.load_receipts_from(key, peaks.count, min(PEAKS_PAGE, count - peaks.count))
            if not page:
                raise NotFound("the receipts before that index have been pruned")
            peaks = peaks.extend(leaf_hash(stored.receipt.struct_hash()) for stored in page if stored.receipt)
        return peaks

    def _rows(self, page: Sequence[Stored]) -> list[dict[str, Any]]:
        return [self._row(stored) for stored in page if stored.receipt]

    def _row(self, stored: Stored) -> dict[str, Any]:
        receipt, admission = stored.receipt, stored.admission
        if receipt is None:
            raise NotFound("this request has no receipt yet")
        digest, generation = self.domain.digest(receipt.struct_hash()), receipt.generation
        signature = stored.signature or sign_as(self.signer, self.operator_of(generation), generation, digest)
        return {
            "receipt": message_to_json(receipt),
            "signature": hex_of(signature),
            "terms": message_to_json(admission.terms),
            "voucher": message_to_json(admission.voucher),
            "voucherSignature": hex_of(admission.signature),
        }


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
