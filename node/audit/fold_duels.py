"""The Duels contract's events, one handler each: checked against the rules and the chain's own data, then booked."""

from collections.abc import Callable, Mapping

from node.audit.court import (
    APPEALED,
    JUDGES,
    JUDGING,
    JURY,
    MOST_ATTEMPTS,
    OPENED,
    PER_MILLE,
    RETRIAL,
    SEAT_BITS,
    STATES,
    Court,
    Duel,
    DueSlash,
    Member,
    Seed,
    Trial,
    words,
)
from node.audit.crypto import hexed, keccak
from node.audit.duel_money import HASH_BLOCKS, JUDGES_PER_MILLE, end_duel, seat_of
from node.audit.events import Event

UNREVEALED, WRONG_DRAW, TWO_ANSWERS = 1, 2, 3
COMMITMENT_BYTES = 28
REVEAL_SELECTOR = keccak(b"reveal(bytes32,uint8,uint8,bytes32,bytes32)")[:4]
REVEAL_BYTES, SALT_AT = 4 + 5 * 32, 4 + 3 * 32
MAX_WEIGHT = (1 << 40) - 1


def fold_duels(court: Court, event: Event) -> None:
    """Apply one event of the Duels contract."""
    if "duelId" not in event.args or event.name == "Opened":
        _HANDLERS[event.name](court, event)
        return
    duel = court.duels.get(event.octets("duelId"))
    if duel is None:
        _refuse(court, event, "of a duel that was never opened")
        return
    _STEPS[event.name](court, duel, event)


def _refuse(court: Court, event: Event, text: str) -> None:
    evidence = {"duel": hexed(event.octets("duelId"))} if "duelId" in event.args else {}
    court.report.add("AUD-080", f"{event.name}: {text}", **evidence, **event.evidence)


def _expect(court: Court, event: Event, **rebuilt: int | bytes) -> None:
    for name, right in rebuilt.items():
        if event.args[name] != right:
            _refuse(court, event, f"{name} is {_plain(event.args[name])}, the rules give {_plain(right)}")


def _plain(value: object) -> str:
    return hexed(value) if isinstance(value, bytes) else str(value)


# --- money
def _funded(court: Court, event: Event) -> None:
    court.credit(event.octets("account"), event.number("amount"))


def _collected(court: Court, event: Event) -> None:
    account, amount = event.octets("account"), event.number("amount")
    excess = amount - court.balances.get(account, 0)
    if not 0 <= excess <= court.unnamed:
        text = f"{amount} collected, its balance was {court.balances.get(account, 0)}"
        court.report.add("AUD-085", text, account=hexed(account), **event.evidence)
    court.unnamed -= max(0, min(excess, court.unnamed))
    court.balances[account] = 0


# --- members
def _enrolled(court: Court, event: Event) -> None:
    provider, place = event.octets("provider"), event.number("place")
    _expect(court, event, place=court.places.get(provider, len(court.members) + 1))
    member = court.members.setdefault(place, Member(provider, provider))
    member.delegate, member.is_active = event.octets("delegate"), True
    court.places[provider] = place


def _member(court: Court, event: Event) -> Member:
    """The member an event is about; a stranger is a finding and forgotten."""
    member = court.members.get(court.places.get(event.octets("provider"), 0))
    if member is None:
        _refuse(court, event, "of somebody who never enrolled")
        return Member(event.octets("provider"), event.octets("provider"))
    return member


def _resigned(court: Court, event: Event) -> None:
    _member(court, event).is_active = False


def _delegate_set(court: Court, event: Event) -> None:
    member = _member(court, event)
    _expect(court, event, oldDelegate=member.delegate)
    member.delegate = event.octets("newDelegate")


def _adopted(court: Court, event: Event) -> None:
    court.adopted.add((event.octets("controller"), event.octets("provider")))


def _controller_set(court: Court, event: Event) -> None:
    member, chosen = _member(court, event), event.octets("newController")
    _expect(court, event, oldController=member.controller)
    if chosen != member.provider and (chosen, member.provider) not in court.adopted:
        _refuse(court, event, "the controller never adopted it")
    member.controller = chosen


def _weighed(court: Court, event: Event) -> None:
    member, weight = _member(court, event), event.number("newWeight")
    state = court.stakes.providers.get(member.provider)
    counts = member.is_active and state is not None and state.is_listed and state.stake >= court.rules.least_stake
    due = min(state.stake // court.rules.weight_unit, MAX_WEIGHT) if state is not None and counts else 0
    place = court.places.get(member.provider, 0)
    told = (event.number("place"), event.number("epoch"), event.number("oldWeight"), weight)
    right = (place, event.at // court.rules.epoch, member.weight, due)
    if told != right:
        text = f"place, epoch, old and new weight are {told}, stake and time give {right}"
        court.report.add("AUD-087", text, provider=hexed(member.provider), **event.evidence)
    member.weight = weight
    court.weights.append((event.number("epoch"), event.number("place"), weight))


# --- seeds
def _seed_committed(court: Court, event: Event) -> None:
    key = (event.octets("dispatcher"), event.number("epoch"))
    _expect(court, event, epoch=event.at // court.rules.epoch + 1)
    if key in court.seeds:
        _refuse(court, event, "a second seed for one epoch")
    court.seeds[key] = Seed(event.octets("commitment"), event.number("ratePerMille"))


def _seed_revealed(court: Court, event: Event) -> None:
    dispatcher, epoch, seed = event.octets("dispatcher"), event.number("epoch"), event.octets("seed")
    kept = court.seeds.get((dispatcher, epoch))
    found = court.rules.bound(dispatcher, epoch, seed)[:COMMITMENT_BYTES]
    if kept is None or kept.commitment[:COMMITMENT_BYTES] != found:
        text = f"the seed of epoch {epoch} is not the one it committed to"
        court.report.add("AUD-090", text, dispatcher=hexed(dispatcher), **event.evidence)
        return
    if not (epoch + 1) * court.rules.epoch <= event.at <= reveal_until(court, epoch):
        _refuse(court, event, "outside its window")
    kept.seed = seed


def reveal_until(court: Court, epoch: int) -> int:
    """The last second at which the seed of an epoch may be revealed."""
    return (epoch + 1) * court.rules.epoch + court.rules.epoch // 2


# --- duels
def _opened(court: Court, event: Event) -> None:
    dispatcher, epoch = event.octets("dispatcher"), event.number("epoch")
    duel_id = keccak(words(dispatcher, event.octets("requestId")))
    draw_block = event.log.block_number + court.rules.draw_delay
    _expect(court, event, duelId=duel_id, epoch=event.at // court.rules.epoch, drawBlock=draw_block)
    duel = Duel(
        duel_id=event.octets("duelId"),
        dispatcher=dispatcher,
        first=event.octets("first"),
        second=event.octets("second"),
        request_id=event.octets("requestId"),
        nonce=event.octets("nonceCommit"),
        attempt=event.number("attempt"),
        prize=event.number("prize"),
        trial=Trial(event.number("drawBlock"), epoch, JUDGES),
        opened=event,
    )
    if duel.duel_id in court.duels:
        _refuse(court, event, "a second time")
    if len({court.controller_of(party) for party in (dispatcher, duel.first, duel.second)}) != 3:
        _refuse(court, event, "two of the parties have one controller")
    if (dispatcher, epoch) not in court.seeds:
        _refuse(court, event, "the dispatcher committed to no seed")
    if duel.attempt >= MOST_ATTEMPTS:
        _refuse(court, event, f"draw {duel.attempt} of a second executor")
    _lock(court, event, dispatcher, court.rules.bond)
    court.duels[duel.duel_id] = duel


def _asked(court: Court, duel: Duel, event: Event) -> None:
    if duel.model or duel.opened.log.block_number != event.log.block_number:
        _refuse(court, event, "apart from its opening, or a second time")
    duel.model, duel.size = event.octets("model"), event.number("size")


def _lock(court: Court, event: Event, account: bytes, amount: int) -> None:
    if court.balances.get(account, 0) + court.unnamed < amount:
        _refuse(court, event, f"{hexed(account)} had less than the bond")
    court.credit(account, -amount)


def _drawn(court: Court, duel: Duel, event: Event) -> None:
    trial = duel.trial if duel.retrial is None else duel.retrial
    if duel.state not in (OPENED, APPEALED):
        _refuse(court, event, f"while it was {STATES[duel.state]}")
    if not trial.draw_block < event.log.block_number <= trial.draw_block + HASH_BLOCKS:
        _refuse(court, event, f"outside the 256 blocks after block {trial.draw_block}")
    _expect(court, event, commitEnd=event.at + court.rules.commit)
    packed = event.number("places")
    trial.places = tuple(packed >> (SEAT_BITS * seat) & 0xFFFF for seat in range(trial.size))
    trial.drawn_at = event.at
    block_hash = court.hashes.get(trial.draw_block)
    right = court.bench(duel, trial, block_hash) if block_hash else trial.places
    if trial.places != right or not all(place in court.members for place in trial.places):
        text = f"the seats are {trial.places}, block {trial.draw_block} and the stakes give {right}"
        court.report.add("AUD-081", text, duel=hexed(duel.duel_id), **event.evidence)
    strangers = Member(b"", b"")
    trial.judges = tuple(court.members.get(place, strangers).provider for place in trial.places)
    duel.state = RETRIAL if duel.retrial is not None else JUDGING


def _seated(court: Court, duel: Duel, event: Event) -> tuple[Trial, int] | None:
    """Bench and seat of a vote; None, and a finding, where there is none or another judge sits."""
    trial, seat = seat_of(duel, event.number("seat"))
    is_open = duel.state == (JUDGING if trial.size == JUDGES else RETRIAL)
    if is_open and seat < len(trial.judges) and trial.judges[seat] == event.octets("judge"):
        return trial, seat
    _refuse(court, event, "by somebody who does not sit there")
    return None


def _committed(court: Court, duel: Duel, event: Event) -> None:
    found = _seated(court, duel, event)
    if found is None:
        return
    trial, seat = found
    if event.at >= trial.drawn_at + court.rules.commit or seat in trial.commitments:
        _refuse(court, event, "too late, or a second time")
    trial.commitments[seat] = event.octets("commitment")


def _revealed(court: Court, duel: Duel, event: Event) -> None:
    found = _seated(court, duel, event)
    if found is None:
        return
    trial, seat = found
    begin = trial.drawn_at + court.rules.commit
    if not begin <= event.at < begin + court.rules.reveal or seat in trial.votes:
        _refuse(court, event, "outside its window, or a second time")
    _check_opened(court, duel, event, trial.commitments.get(seat, b""))
    trial.votes[seat] = event.number("vote")


def _check_opened(court: Court, duel: Duel, event: Event, commitment: bytes) -> None:
    """The salt is in the transaction's input: with it the vote must open the commitment."""
    data = court.calls.get(event.log.tx_hash, (b"", b""))[1]
    is_read = len(data) == REVEAL_BYTES and data[:4] == REVEAL_SELECTOR
    salt = data[SALT_AT : SALT_AT + 32]
    judge, vote, why = event.octets("judge"), event.number("vote"), event.octets("rationaleHash")
    is_open = bool(commitment) and (
        not is_read or court.rules.bound(duel.duel_id, judge, vote, salt, why) == commitment
    )
    court.unopened += not is_read
    if not is_open:
        text = f"seat {event.number('seat')}: vote {vote} does not open what was committed to"
        court.report.add("AUD-082", text, duel=hexed(duel.duel_id), judge=hexed(judge), **event.evidence)


def _appeal_opened(court: Court, duel: Duel, event: Event) -> None:
    begin = duel.trial.drawn_at + court.rules.commit + court.rules.reveal
    if duel.state != JUDGING or not begin <= event.at < begin + court.rules.appeal:
        _refuse(court, event, "outside its window")
    _expect(court, event, verdict=duel.trial.verdict, drawBlock=event.log.block_number + court.rules.draw_delay)
    duel.appellant, duel.state = event.octets("appellant"), APPEALED
    _lock(court, event, duel.appellant, court.rules.appeal_bond)
    duel.retrial = Trial(event.number("drawBlock"), event.at // court.rules.epoch, JURY)


# --- faults
def _fault_proven(court: Court, event: Event) -> None:
    culprit, fault, occurrence = event.octets("culprit"), event.number("fault"), event.octets("occurrence")
    slashed = min(court.rules.fault_slash, court.slashable(culprit))
    bounty = slashed * JUDGES_PER_MILLE // PER_MILLE
    told = (event.number("slashed"), event.number("bounty"))
    trouble = "" if told == (slashed, bounty) else f"slash and bounty are {told}, due {(slashed, bounty)}"
    if (fault, occurrence) in court.proven:
        trouble = "proven twice"
    elif fault == UNREVEALED and not _is_unrevealed(court, event):
        trouble = "no seed of this dispatcher was overdue"
    elif fault == WRONG_DRAW and getattr(court.duels.get(occurrence), "dispatcher", b"") != culprit:
        trouble = "no duel of this dispatcher"
    if trouble:
        court.report.add("AUD-091", trouble, culprit=hexed(culprit), **event.evidence)
    court.proven.add((fault, occurrence))
    call = court.calls.get(event.log.tx_hash)
    if call is None:
        court.unnamed += bounty
    else:
        court.credit(call[0], bounty)
    court.due.append(DueSlash(event.log.block_number, culprit, bounty, slashed, None))
    if fault == TWO_ANSWERS:
        text = "its operator signed two different answers to one request"
        court.report.add("AUD-092", text, executor=hexed(culprit), **event.evidence)


def _is_unrevealed(court: Court, event: Event) -> bool:
    culprit = event.octets("culprit")
    return any(
        keccak(words(culprit, epoch)) == event.octets("occurrence")
        and not seed.seed
        and event.at > reveal_until(court, epoch)
        for (dispatcher, epoch), seed in court.seeds.items()
        if dispatcher == culprit
    )


_HANDLERS: Mapping[str, Callable[[Court, Event], None]] = {
    "Funded": _funded,
    "Collected": _collected,
    "Enrolled": _enrolled,
    "Resigned": _resigned,
    "DelegateSet": _delegate_set,
    "Adopted": _adopted,
    "ControllerSet": _controller_set,
    "Weighed": _weighed,
    "SeedCommitted": _seed_committed,
    "SeedRevealed": _seed_revealed,
    "Opened": _opened,
    "FaultProven": _fault_proven,
}
_STEPS: Mapping[str, Callable[[Court, Duel, Event], None]] = {
    "Asked": _asked,
    "Drawn": _drawn,
    "Committed": _committed,
    "Revealed": _revealed,
    "AppealOpened": _appeal_opened,
    "Finalized": end_duel,
}
