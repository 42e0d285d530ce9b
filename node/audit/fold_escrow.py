"""The escrow's events, one handler each, applied to the books.

Each event is also checked against the state before it: the events carry old and new values, so a missing, invented or
altered one shows up as a value that does not follow.
"""

from collections.abc import Callable, Mapping

from node.audit.book import Book, Payee, Signer
from node.audit.crypto import hexed
from node.audit.events import Event
from node.audit.fold_settlement import fold_settlement


def fold_escrow(book: Book, event: Event) -> None:
    """Apply one escrow event."""
    _HANDLERS[event.name](book, event)


def _deposited(book: Book, event: Event) -> None:
    book.credit(event.octets("payer"), event.number("amount"))


def _withdrawn(book: Book, event: Event) -> None:
    payer = event.octets("payer")
    book.expect(event, "amount", event.number("amount"), book.free.get(payer, 0))
    book.free[payer] = 0


def _allotted(book: Book, event: Event) -> None:
    payer, amount = event.octets("payer"), event.number("amount")
    pair = book.pair(payer, event.octets("payee"))
    book.expect(event, "allotted", event.number("allotted"), pair.allotted + amount)
    if book.free.get(payer, 0) < amount:
        book.report.add("AUD-003", "Allotted: more than the free balance", **event.evidence)
    pair.allotted = event.number("allotted")
    book.credit(payer, -amount)


def _thaw_requested(book: Book, event: Event) -> None:
    pair = book.pair(event.octets("payer"), event.octets("payee"))
    amount, end = event.number("newAmount"), event.number("thawEnd")
    book.expect(event, "oldAmount", event.number("oldAmount"), pair.thawing)
    book.expect(event, "thawEnd", end, event.at + book.windows.thaw if amount else 0)
    if amount > pair.allotted - pair.claimed:
        book.report.add("AUD-003", "ThawRequested: more than is unclaimed", **event.evidence)
    pair.thawing, pair.thaw_end = amount, end


def _thaw_cancelled(book: Book, event: Event) -> None:
    pair = book.pair(event.octets("payer"), event.octets("payee"))
    book.expect(event, "amount", event.number("amount"), pair.thawing)
    pair.thawing, pair.thaw_end = 0, 0


def _thaw_finished(book: Book, event: Event) -> None:
    payer, amount = event.octets("payer"), event.number("amount")
    pair = book.pair(payer, event.octets("payee"))
    book.expect(event, "amount", amount, min(pair.thawing, pair.allotted - pair.claimed))
    book.expect(event, "allotted", event.number("allotted"), pair.allotted - amount)
    if event.at < pair.thaw_end:
        book.report.add("AUD-025", f"thaw ends at {pair.thaw_end}, it left at {event.at}", **event.evidence)
    pair.allotted, pair.thawing, pair.thaw_end = event.number("allotted"), 0, 0
    book.credit(payer, amount)


def _signer_authorized(book: Book, event: Event) -> None:
    signer = event.octets("signer")
    if signer in book.signers:
        book.report.add("AUD-003", "SignerAuthorized: the signer is bound already", **event.evidence)
    book.signers[signer] = Signer(event.octets("payer"), event.number("cap"))


def _own_signer(book: Book, event: Event) -> Signer:
    payer = event.octets("payer")
    signer = book.signers.setdefault(event.octets("signer"), Signer(payer, 0))
    book.expect(event, "payer", payer, signer.payer)
    return signer


def _signer_cap_raised(book: Book, event: Event) -> None:
    signer = _own_signer(book, event)
    book.expect(event, "oldCap", event.number("oldCap"), signer.cap)
    signer.cap = event.number("newCap")


def _signer_thawing(book: Book, event: Event) -> None:
    signer = _own_signer(book, event)
    book.expect(event, "thawEnd", event.number("thawEnd"), event.at + book.windows.thaw)
    signer.thaw_end = event.number("thawEnd")


def _signer_revoked(book: Book, event: Event) -> None:
    signer = _own_signer(book, event)
    if not signer.thaw_end or event.at < signer.thaw_end:
        book.report.add("AUD-025", "a signer was revoked before its thaw ended", **event.evidence)
    signer.is_revoked = True


def _operator_set(book: Book, event: Event) -> None:
    payee = book.payee(event.octets("payee"))
    book.expect(event, "oldOperator", event.octets("oldOperator"), payee.operator)
    _open_generation(book, payee, event, event.number("generation"), event.octets("operator"))


def _generation_bumped(book: Book, event: Event) -> None:
    payee = book.payee(event.octets("payee"))
    book.expect(event, "oldGeneration", event.number("oldGeneration"), payee.generation)
    _open_generation(book, payee, event, event.number("newGeneration"), payee.operator)


def _open_generation(book: Book, payee: Payee, event: Event, generation: int, operator: bytes) -> None:
    book.expect(event, "generation", generation, payee.generation + 1)
    payee.closed_at[payee.generation] = event.at
    payee.generation = generation
    payee.operators[generation] = operator


def _payout_requested(book: Book, event: Event) -> None:
    address = event.octets("payee")
    payee = book.payee(address)
    book.expect(event, "oldPayout", event.octets("oldPayout"), payee.payout_in_force(address, event.at))
    payee.payout = event.octets("oldPayout")
    payee.next_payout, payee.payout_at = event.octets("newPayout"), event.number("payoutAt")


def _earnings_collected(book: Book, event: Event) -> None:
    address, amount = event.octets("payee"), event.number("amount")
    payee = book.payee(address)
    bucket = event.at // book.windows.hold
    released = sum(earned for b, earned in payee.earned.items() if b + 2 <= bucket) - payee.collected
    if amount > released:
        book.report.add("AUD-026", f"{amount} collected, {released} was released", **event.evidence)
    if event.octets("payout") != payee.payout_in_force(address, event.at):
        book.report.add("AUD-027", f"paid to {hexed(event.octets('payout'))}", **event.evidence)
    payee.collected += amount


def _overclaim_challenged(book: Book, event: Event) -> None:
    returned, burnt = event.number("returned"), event.number("burnt")
    from_earnings = event.number("fromEarnings")
    payee = book.payee(event.octets("payee"))
    if from_earnings > returned + burnt or returned > event.number("excess") or burnt < returned:
        book.report.add("AUD-029", "returned, burnt and fromEarnings do not fit together", **event.evidence)
    challenged = (event.octets("payer"), event.octets("payee"), event.octets("lane"), event.number("generation"))
    book.returned[challenged] = book.returned.get(challenged, 0) + returned
    payee.slashed += from_earnings
    book.credit(event.octets("payer"), returned)
    book.burnt += max(0, from_earnings - returned)
    book.slashed_stake += returned + burnt - from_earnings
    book.report.add(
        "AUD-028", f"{event.number('excess')} too much was claimed; {returned} was returned", **event.evidence
    )


_HANDLERS: Mapping[str, Callable[[Book, Event], None]] = {
    "Deposited": _deposited,
    "Withdrawn": _withdrawn,
    "Allotted": _allotted,
    "ThawRequested": _thaw_requested,
    "ThawCancelled": _thaw_cancelled,
    "ThawFinished": _thaw_finished,
    "SignerAuthorized": _signer_authorized,
    "SignerCapRaised": _signer_cap_raised,
    "SignerThawing": _signer_thawing,
    "SignerRevoked": _signer_revoked,
    "OperatorSet": _operator_set,
    "GenerationBumped": _generation_bumped,
    "PayoutRequested": _payout_requested,
    "EarningsCollected": _earnings_collected,
    "OverclaimChallenged": _overclaim_challenged,
    "Settled": fold_settlement,
}
