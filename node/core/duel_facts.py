"""Duels as the chain's events tell them: one duel's course, and who could be drawn at the end of an epoch. Pure folds.

They never ask the chain; that they end where the contract ends is shown by tests/differential/test_duels_model.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from node.core.duel_chain import Weighed
from node.core.duels import Vote
from node.core.facts import ChainEvent
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Bytes32, Seconds

JUDGES, JURY = 5, 15
SEAT_BITS = 16


class DuelState(IntEnum):
    """Where a duel stands, numbered as in the contract; the last four are final."""

    NONE = 0
    OPENED = 1
    JUDGING = 2
    APPEALED = 3
    RETRIAL = 4
    FIRST_WON = 5
    SECOND_WON = 6
    TIED = 7
    VOIDED = 8


@dataclass(frozen=True, slots=True)
class DuelFacts:
    """One duel. Seats 0 to 4 are the judges', 5 to 19 the jury's; `places` are the contract's names for members."""

    state: DuelState = DuelState.NONE
    dispatcher: Address = ZERO_ADDRESS
    first: Address = ZERO_ADDRESS
    second: Address = ZERO_ADDRESS
    request_id: Bytes32 = ZERO32
    first_answer: Bytes32 = ZERO32
    second_answer: Bytes32 = ZERO32
    evidence_root: Bytes32 = ZERO32
    model: Bytes32 = ZERO32
    size: int = 0
    """The request's class (core.quality), on the dispatcher's word; judges see the request."""
    epoch: int = 0
    attempt: int = 0
    prize: Amount = Amount(0)
    draw_block: int = 0
    commit_end: Seconds = Seconds(0)
    places: Mapping[int, int] = field(default_factory=dict)
    commitments: Mapping[int, Bytes32] = field(default_factory=dict)
    votes: Mapping[int, Vote] = field(default_factory=dict)
    appellant: Address = ZERO_ADDRESS
    ended_at: int = 0
    """Number of the block that ended it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state >= DuelState.FIRST_WON


def fold_duel(state: DuelFacts, event: ChainEvent) -> DuelFacts:
    """The duel after one event of its own. Other events change nothing."""
    match event.name:
        case "Opened":
            state = _opened(event)
        case "Asked":
            state = replace(state, model=event.bytes32("model"), size=event.number("size"))
        case "Drawn":
            state = _drawn(state, event)
        case "Committed":
            commitments = {**state.commitments, event.number("seat"): event.bytes32("commitment")}
            state = replace(state, commitments=commitments)
        case "Revealed":
            state = replace(state, votes={**state.votes, event.number("seat"): Vote(event.number("vote"))})
        case "AppealOpened":
            appellant, block = event.address("appellant"), event.number("drawBlock")
            state = replace(state, state=DuelState.APPEALED, appellant=appellant, draw_block=block)
        case "Finalized":
            state = replace(state, state=DuelState(event.number("outcome")), ended_at=event.block_number)
    return state


def _opened(event: ChainEvent) -> DuelFacts:
    return DuelFacts(
        state=DuelState.OPENED,
        dispatcher=event.address("dispatcher"),
        first=event.address("first"),
        second=event.address("second"),
        request_id=event.bytes32("requestId"),
        first_answer=event.bytes32("firstAnswer"),
        second_answer=event.bytes32("secondAnswer"),
        evidence_root=event.bytes32("evidenceRoot"),
        epoch=event.number("epoch"),
        attempt=event.number("attempt"),
        prize=Amount(event.number("prize")),
        draw_block=event.number("drawBlock"),
    )


def _drawn(state: DuelFacts, event: ChainEvent) -> DuelFacts:
    is_jury = state.state is DuelState.APPEALED
    base, count = (JUDGES, JURY) if is_jury else (0, JUDGES)
    words = event.number("places")
    drawn = {base + seat: words >> (SEAT_BITS * seat) & 0xFFFF for seat in range(count)}
    return replace(
        state,
        state=DuelState.RETRIAL if is_jury else DuelState.JUDGING,
        places={**state.places, **drawn},
        commit_end=Seconds(event.number("commitEnd")),
    )


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """A member; its key in `CourtFacts.members` is its place."""

    provider: Address
    controller: Address
    delegate: Address
    is_active: bool


@dataclass(frozen=True, slots=True)
class CourtFacts:
    """All members, and every weight ever set as (epoch, place, weight), in chain order."""

    members: Mapping[int, MemberFacts] = field(default_factory=dict)
    weights: tuple[tuple[int, int, int], ...] = ()

    def place_of(self, provider: Address) -> int:
        """0 for somebody who never enrolled."""
        return next((place for place, member in self.members.items() if member.provider == provider), 0)

    def snapshot(self, epoch: int) -> list[Weighed]:
        """What draws of duels opened in the next epoch are made over, in the order of places."""
        last = {place: weight for at, place, weight in self.weights if at <= epoch}
        rows = sorted(self.members.items())
        return [Weighed(member.provider, member.controller, last.get(place, 0)) for place, member in rows]


def fold_court(state: CourtFacts, event: ChainEvent) -> CourtFacts:
    """The court's members after one event."""
    match event.name:
        case "Enrolled":
            return _enrolled(state, event)
        case "Resigned":
            return _changed(state, event, is_active=False)
        case "DelegateSet":
            return _changed(state, event, delegate=event.address("newDelegate"))
        case "ControllerSet":
            return _changed(state, event, controller=event.address("newController"))
        case "Weighed":
            row = (event.number("epoch"), event.number("place"), event.number("newWeight"))
            return replace(state, weights=(*state.weights, row))
    return state


def _enrolled(state: CourtFacts, event: ChainEvent) -> CourtFacts:
    place, provider = event.number("place"), event.address("provider")
    known = state.members.get(place)
    controller = provider if known is None else known.controller
    member = MemberFacts(provider, controller, event.address("delegate"), is_active=True)
    return replace(state, members={**state.members, place: member})


def _changed(state: CourtFacts, event: ChainEvent, **changes: object) -> CourtFacts:
    place = state.place_of(event.address("provider"))
    member = replace(state.members[place], **changes)  # type: ignore[arg-type]
    return replace(state, members={**state.members, place: member})
