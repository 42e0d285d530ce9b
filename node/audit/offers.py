"""The offers that terms quote: fetched once each, hash and signature checked, compared with the registry's history.

The price agreed is the one in the terms the payer signed; the offer is a second opinion (protocol, signed messages).
"""

from dataclasses import dataclass, field

from node.audit.archive import Archive
from node.audit.book import Book
from node.audit.crypto import hexed, recover
from node.audit.errors import MalformedError, UnservedError
from node.audit.findings import Report
from node.audit.stakes import Stakes
from node.audit.structs import Message, Offer, digest_of

QUOTE_SECONDS = 3600 + 30
"""Terms are served at most this long before their `startBy`, clock skew included (protocol rule 2)."""
SKEW_SECONDS = 30
_NEVER = (1 << 62, 0)


@dataclass(slots=True)
class Offers:
    """All offers met in this audit. `_known` keeps None for one that could not be had: it is reported once."""

    archive: Archive
    book: Book
    stakes: Stakes
    separator: bytes
    report: Report
    _known: dict[tuple[bytes, bytes], Offer | None] = field(default_factory=dict)

    def check(self, payee: bytes, terms: Message, place: tuple[int, int] | None, where: dict[str, str | int]) -> None:
        """Terms against the offer they quote. `place`: where they were settled (None: not yet)."""
        offer_hash = terms.octets["offerHash"]
        key = (payee, offer_hash)
        if key not in self._known:
            self._known[key] = self._fetch(payee, offer_hash)
        self._check_registered(payee, terms, place, where)
        offer = self._known[key]
        if offer is not None:
            self._check_terms(offer, terms, where)

    def _fetch(self, payee: bytes, offer_hash: bytes) -> Offer | None:
        about = {"payee": hexed(payee), "offer": hexed(offer_hash)}
        try:
            document = self.archive.fetch_offer(payee, offer_hash)
        except (UnservedError, MalformedError) as exc:
            self.report.add("AUD-061", str(exc), **about)
            return None
        self.report.counts.offers += 1
        if document.offer.struct_hash != offer_hash or document.offer.payee != payee:
            self.report.add("AUD-062", f"it hashes to {hexed(document.offer.struct_hash)}", **about)
            return None
        signer = recover(digest_of(self.separator, offer_hash), document.signature)
        self.report.counts.signatures += 1
        if signer is None or signer not in self.book.payee(payee).operators.values():
            self.report.add("AUD-063", f"signed by {hexed(signer) if signer else 'nobody'}", **about)
        return document.offer

    def _check_registered(
        self, payee: bytes, terms: Message, place: tuple[int, int] | None, where: dict[str, str | int]
    ) -> None:
        provider = self.stakes.providers.get(payee)
        periods = [p for p in provider.offers if p.offer_hash == terms.octets["offerHash"]] if provider else []
        if not periods:
            self.report.add("AUD-060", "the registry never had this offer hash", **where)
            return
        start_by = terms.numbers["startBy"]
        # Order on the chain, not its clock, decides "before": a development chain's clock may run ahead.
        is_early = any(period.from_place < (place or _NEVER) for period in periods)
        is_late = any(period.until is None or period.until + QUOTE_SECONDS >= start_by for period in periods)
        if not is_early or not is_late:
            trouble = "registered only after it was settled" if not is_early else "replaced before it was quoted"
            self.report.add("AUD-066", f"the offer was {trouble}", **where)

    def _check_terms(self, offer: Offer, terms: Message, where: dict[str, str | int]) -> None:
        start_by = terms.numbers["startBy"]
        if offer.valid_from > start_by + SKEW_SECONDS or offer.valid_until < start_by - QUOTE_SECONDS:
            text = f"valid {offer.valid_from} to {offer.valid_until}, startBy {start_by}"
            self.report.add("AUD-066", text, **where)
        model = offer.models.get(terms.octets["model"])
        if model is None:
            self.report.add("AUD-065", "no model of that id in the offer", **where)
            return
        for name in ("pricePrompt", "priceCompletion"):
            if terms.numbers[name] != model.numbers[name]:
                text = f"{name} is {terms.numbers[name]}, offered for {model.numbers[name]}"
                self.report.add("AUD-064", text, **where)
        for name in ("tokenizer", "template"):
            if terms.octets[name] != model.octets[name]:
                self.report.add("AUD-064", f"{name} is another one than offered", **where)
