"""The payees' public endpoints: settlements by root, receipts by lane, offers by hash. Knows routes, judges nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.audit.crypto import hexed
from node.audit.documents import (
    LaneTotals,
    OfferDocument,
    SettlementPage,
    parse_lane_totals,
    parse_offer_document,
    parse_receipts_page,
    parse_settlement_page,
)
from node.audit.errors import UnservedError
from node.audit.web import Web

PAGE_LIMIT = 500
_Page = tuple[Sequence[object], int | None]


@dataclass(frozen=True, slots=True)
class Archive:
    """All payees' endpoints. Every method raises UnservedError or MalformedError."""

    web: Web
    endpoints: Mapping[bytes, str]

    def trouble_with(self, payee: bytes) -> str:
        """Why nobody can be asked for this payee's receipts; empty when somebody can."""
        try:
            self.web.check(self._base(payee))
        except UnservedError as exc:
            return exc.reason
        return ""

    def fetch_settlement(self, payee: bytes, root: bytes, start: int, limit: int = PAGE_LIMIT) -> SettlementPage:
        """A settlement's claim and its receipts from number `start` on."""
        path = f"/v1/settlements/{hexed(root)}/receipts"
        return parse_settlement_page(self.web.get_json(self._base(payee), path, {"from": start, "limit": limit}))

    def fetch_receipts(self, payee: bytes, payer: bytes, lane: bytes, generation: int, after: int) -> _Page:
        """A lane's receipts with seq above `after`."""
        params: dict[str, str | int] = {
            "payer": hexed(payer),
            "lane": hexed(lane),
            "generation": generation,
            "after": after,
        }
        answer = self.web.get_json(self._base(payee), "/v1/receipts", params | {"limit": PAGE_LIMIT})
        return parse_receipts_page(answer)

    def fetch_offer(self, payee: bytes, offer_hash: bytes) -> OfferDocument:
        """An offer this payee made."""
        return parse_offer_document(self.web.get_json(self._base(payee), f"/v1/offers/{hexed(offer_hash)}", {}))

    def fetch_lane(self, payee: bytes, payer: bytes, lane: bytes) -> LaneTotals:
        """What the payee says a lane has run up."""
        path = f"/v1/lanes/{hexed(payer)}/{hexed(lane)}"
        return parse_lane_totals(self.web.get_json(self._base(payee), path, {}))

    def _base(self, payee: bytes) -> str:
        base = self.endpoints.get(payee)
        if not base:
            raise UnservedError("the payee has no endpoint in the registry (or give --endpoint PAYEE=URL)", 404)
        return base
