"""The registry's books: stake, endpoint and offers of every provider, as the events rebuild them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.audit.crypto import ZERO32
from node.audit.events import Event
from node.audit.findings import Report


@dataclass(frozen=True, slots=True)
class OfferPeriod:
    """An offer hash stood in the registry from a place in the log until a time (None: it stands)."""

    offer_hash: bytes
    from_place: tuple[int, int]
    since: int
    until: int | None = None


@dataclass(slots=True)
class Provider:
    """One provider."""

    is_listed: bool = False
    stake: int = 0
    unbonding: int = 0
    unbond_end: int = 0
    endpoint: str = ""
    offer_hash: bytes = ZERO32
    offers: list[OfferPeriod] = field(default_factory=list)

    def set_offer(self, offer_hash: bytes, event: Event) -> None:
        """Close the present period and open the next."""
        if self.offers and self.offers[-1].until is None:
            last = self.offers[-1]
            self.offers[-1] = OfferPeriod(last.offer_hash, last.from_place, last.since, event.at)
        self.offer_hash = offer_hash
        self.offers.append(OfferPeriod(offer_hash, event.log.place, event.at))


@dataclass(slots=True)
class Stakes:
    """All of the registry's state and the flows out of it."""

    report: Report
    providers: dict[bytes, Provider] = field(default_factory=dict)
    burnt: int = 0
    taken_by: dict[bytes, int] = field(default_factory=dict)

    def expect(self, event: Event, what: str, claimed: int | str | bytes, rebuilt: int | str | bytes) -> None:
        """AUD-003 unless an event's own word equals what the earlier events give."""
        if claimed != rebuilt:
            text = f"{event.name}: {what} is {claimed!r}, the events before it give {rebuilt!r}"
            self.report.add("AUD-003", text, **event.evidence)


def fold_registry(stakes: Stakes, event: Event) -> None:
    """Apply one registry event."""
    provider = stakes.providers.setdefault(event.octets("provider"), Provider())
    _HANDLERS[event.name](stakes, provider, event)


def _registered(stakes: Stakes, provider: Provider, event: Event) -> None:
    if provider.is_listed:
        stakes.report.add("AUD-003", "Registered: listed already", **event.evidence)
    provider.is_listed = True
    provider.stake = event.number("stake")
    provider.endpoint = event.text("endpoint")
    provider.set_offer(event.octets("offerHash"), event)


def _endpoint_set(stakes: Stakes, provider: Provider, event: Event) -> None:
    stakes.expect(event, "oldEndpoint", event.text("oldEndpoint"), provider.endpoint)
    provider.endpoint = event.text("newEndpoint")


def _offer_set(stakes: Stakes, provider: Provider, event: Event) -> None:
    stakes.expect(event, "oldOfferHash", event.octets("oldOfferHash"), provider.offer_hash)
    provider.set_offer(event.octets("newOfferHash"), event)


def _stake_added(stakes: Stakes, provider: Provider, event: Event) -> None:
    stakes.expect(event, "stake", event.number("stake"), provider.stake + event.number("amount"))
    provider.stake = event.number("stake")


def _unstake_requested(stakes: Stakes, provider: Provider, event: Event) -> None:
    amount = event.number("amount")
    stakes.expect(event, "stake", event.number("stake"), provider.stake - amount)
    stakes.expect(event, "unbonding", event.number("unbonding"), provider.unbonding + amount)
    provider.stake, provider.unbonding = event.number("stake"), event.number("unbonding")
    provider.unbond_end = event.number("unbondEnd")


def _deregistered(stakes: Stakes, provider: Provider, event: Event) -> None:
    stakes.expect(event, "unbonding", event.number("unbonding"), provider.unbonding + provider.stake)
    provider.is_listed, provider.stake = False, 0
    provider.unbonding, provider.unbond_end = event.number("unbonding"), event.number("unbondEnd")
    last = provider.offers[-1] if provider.offers else None
    if last is not None and last.until is None:
        provider.offers[-1] = OfferPeriod(last.offer_hash, last.from_place, last.since, event.at)


def _stake_withdrawn(stakes: Stakes, provider: Provider, event: Event) -> None:
    stakes.expect(event, "amount", event.number("amount"), provider.unbonding)
    if event.at < provider.unbond_end:
        text = f"stake unbonds at {provider.unbond_end}, it left at {event.at}"
        stakes.report.add("AUD-026", text, **event.evidence)
    provider.unbonding, provider.unbond_end = 0, 0


def _slashed(stakes: Stakes, provider: Provider, event: Event) -> None:
    paid, burnt = event.number("paid"), event.number("burnt")
    before = provider.stake + provider.unbonding
    provider.stake, provider.unbonding = event.number("stake"), event.number("unbonding")
    if before - provider.stake - provider.unbonding != paid + burnt:
        stakes.report.add("AUD-029", f"{before} at stake before, {paid} paid and {burnt} burnt", **event.evidence)
    stakes.burnt += burnt
    by = event.octets("by")
    stakes.taken_by[by] = stakes.taken_by.get(by, 0) + paid + burnt


_HANDLERS: Mapping[str, Callable[[Stakes, Provider, Event], None]] = {
    "Registered": _registered,
    "EndpointSet": _endpoint_set,
    "OfferSet": _offer_set,
    "StakeAdded": _stake_added,
    "UnstakeRequested": _unstake_requested,
    "Deregistered": _deregistered,
    "StakeWithdrawn": _stake_withdrawn,
    "Slashed": _slashed,
}
