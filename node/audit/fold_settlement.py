"""A `Settled` event against the rules the escrow must have kept (INV2, INV3, INV4), then booked."""

from node.audit.book import Book, Lane, Settlement
from node.audit.crypto import hexed
from node.audit.events import Event

SEQ_SLACK_SECONDS = 60
"""How far a claim's sequence may run ahead of the chain's clock (protocol: seq rule)."""
MICROSECONDS = 1_000_000


def fold_settlement(book: Book, event: Event) -> None:
    """Check and book one settlement."""
    key = (event.octets("payer"), event.octets("payee"), event.octets("lane"))
    lane = book.lanes.setdefault(key, Lane())
    settlement = _settlement_of(event, lane.claimed)
    _check_amounts(book, settlement, lane)
    _check_signer(book, settlement)
    _check_generation(book, settlement, lane)
    lane.claimed, lane.generation = settlement.claimed_after, settlement.generation
    book.pair(key[0], key[1]).claimed += settlement.paid
    payee = book.payee(key[1])
    bucket = event.at // book.windows.hold
    payee.earned[bucket] = payee.earned.get(bucket, 0) + settlement.paid
    book.tops[settlement.generation_id] = settlement.claimed_after
    book.settlements.append(settlement)


def _settlement_of(event: Event, claimed_before: int) -> Settlement:
    return Settlement(
        payer=event.octets("payer"),
        payee=event.octets("payee"),
        lane=event.octets("lane"),
        generation=event.number("generation"),
        seq=event.number("seq"),
        cumulative=event.number("cumulative"),
        ceiling=event.number("ceiling"),
        paid=event.number("paid"),
        claimed_after=event.number("claimedAfter"),
        count=event.number("count"),
        root=event.octets("root"),
        claimed_before=claimed_before,
        event=event,
    )


def _check_amounts(book: Book, settlement: Settlement, lane: Lane) -> None:
    evidence = settlement.event.evidence
    if max(settlement.cumulative, settlement.claimed_after) > settlement.ceiling:
        book.report.add("AUD-020", f"ceiling {settlement.ceiling}, claimed {settlement.claimed_after}", **evidence)
    if settlement.claimed_after <= lane.claimed:
        book.report.add("AUD-021", f"claimed {lane.claimed} before, {settlement.claimed_after} after", **evidence)
    pair = book.pair(settlement.payer, settlement.payee)
    due = min(settlement.cumulative - lane.claimed, pair.allotted - pair.claimed)
    moved = settlement.claimed_after - lane.claimed
    if settlement.paid != due or settlement.paid != moved:
        book.report.add("AUD-022", f"paid {settlement.paid}, due {due}, booked {moved}", **evidence)


def _check_signer(book: Book, settlement: Settlement) -> None:
    if settlement.lane == settlement.payer:
        return
    signer = book.signers.get(settlement.lane)
    if signer is None or signer.payer != settlement.payer:
        trouble = "is no signer of this payer"
    elif signer.is_revoked:
        trouble = "was revoked"
    elif settlement.cumulative > signer.cap:
        trouble = f"may sign up to {signer.cap} only"
    else:
        return
    lane = hexed(settlement.lane)
    book.report.add("AUD-023", f"the signer {lane} {trouble}", **settlement.event.evidence)


def _check_generation(book: Book, settlement: Settlement, lane: Lane) -> None:
    evidence, generation = settlement.event.evidence, settlement.generation
    payee = book.payee(settlement.payee)
    closed_at = payee.closed_at.get(generation)
    if generation not in payee.operators:
        book.report.add("AUD-024", f"generation {generation} has no operator", **evidence)
    elif closed_at is not None and settlement.event.at > closed_at + book.windows.thaw:
        book.report.add("AUD-024", f"generation {generation} closed at {closed_at}", **evidence)
    if generation < lane.generation:
        book.report.add("AUD-021", f"generation {generation} after {lane.generation}", **evidence)
    if settlement.seq > (settlement.event.at + SEQ_SLACK_SECONDS) * MICROSECONDS:
        book.report.add("AUD-024", "its sequence is ahead of the chain's clock", **evidence)
