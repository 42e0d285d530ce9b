"""The rules of a duel: which requests are duelled, who judges, what the votes mean, who pays and who gains.

Pure arithmetic shared by the node and the simulator; the contract repeats it on chain. Amounts are base units, rounded
down in favour of the burn.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from node.core.hashing import keccak
from node.core.types import ZERO_ADDRESS, Address, Amount, Bytes32

BURN = ZERO_ADDRESS
"""Ledger name of what nobody gets."""
PER_MILLE = 1000


class Vote(IntEnum):
    """A revealed vote. Not revealing is the absence of one."""

    FIRST = 1
    SECOND = 2
    TIE = 3
    NO_EVIDENCE = 4


class Outcome(IntEnum):
    """What the votes come to."""

    FIRST_WON = 1
    SECOND_WON = 2
    TIE = 3
    VOID = 4


@dataclass(frozen=True, slots=True)
class DuelTerms:
    """The shipped setting. Slashes are fixed amounts, so that splitting a stake does not shrink them (D3).

    Counts and shares are constants of the contract, amounts its constructor's arguments.
    """

    judges: int = 5
    agreement: int = 4
    void_votes: int = 3
    jury: int = 15
    jury_agreement: int = 10
    jury_void_votes: int = 9
    loser_slash: Amount = Amount(20)
    minority_slash: Amount = Amount(10)
    silent_slash: Amount = Amount(10)
    judge_fee: Amount = Amount(1)
    fault_slash: Amount = Amount(50)
    bond: Amount = Amount(5)
    appeal_bond: Amount = Amount(20)
    winner_per_mille: int = 400
    judges_per_mille: int = 300

    def for_jury(self) -> "DuelTerms":
        """The same terms with an appeal's jury for judges."""
        return replace(self, judges=self.jury, agreement=self.jury_agreement, void_votes=self.jury_void_votes)


UNITS_IN_MIN_STAKE = 400
"""The shipped amounts are multiples of this part of the least stake, which so outlasts twenty lost duels (D3)."""


def terms_for(min_stake: Amount) -> DuelTerms:
    """The shipped setting in a market of this least stake. It must be at least 400 base units."""
    unit, shipped = max(min_stake // UNITS_IN_MIN_STAKE, 1), DuelTerms()
    amounts = ("loser_slash", "minority_slash", "silent_slash", "judge_fee", "fault_slash", "bond", "appeal_bond")
    return replace(shipped, **{name: Amount(unit * getattr(shipped, name)) for name in amounts})


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part. The first executor answered the user; the second was drawn."""

    dispatcher: Address
    first: Address
    second: Address
    request_fee: Amount


def is_duel(epoch_seed: Bytes32, request_id: Bytes32, nonce_commit: Bytes32, rate_per_mille: int) -> bool:
    """Whether this offload must be a duel.

    The seed is committed an epoch ahead and revealed after it; the id comes from the client and the nonce from the
    executor, so that nobody chooses (D6).
    """
    point = int.from_bytes(keccak(epoch_seed + request_id + nonce_commit), "big")
    return point % PER_MILLE < rate_per_mille


def verdict(votes: Sequence[Vote], terms: DuelTerms) -> Outcome:
    """Enough equal votes decide; enough `no evidence` voids; else it is a tie: executors lose nothing."""
    tally = Counter(votes)
    if tally[Vote.NO_EVIDENCE] >= terms.void_votes:
        return Outcome.VOID
    if tally[Vote.FIRST] >= terms.agreement:
        return Outcome.FIRST_WON
    if tally[Vote.SECOND] >= terms.agreement:
        return Outcome.SECOND_WON
    return Outcome.TIE


def agrees_with_others(votes: Mapping[int, Vote], seat: int) -> bool | None:
    """Whether a seat voted as the clear majority (three quarters) of the other seats; None if there is none.

    The evidence about a judge: its own vote is left out, for it would help to make the verdict it is compared with.
    """
    others = Counter(vote for other, vote in votes.items() if other != seat)
    if not others or seat not in votes:
        return None
    common, count = others.most_common(1)[0]
    return votes[seat] == common if 4 * count >= 3 * sum(others.values()) else None


def payouts(
    parties: Parties, seats: Sequence[Address], votes: Mapping[int, Vote], terms: DuelTerms
) -> dict[Address, Amount]:
    """What each party gains or loses by the verdict, BURN included: the entries sum to zero. `votes` is by seat."""
    outcome = verdict(list(votes.values()), terms)
    ledger: Counter[Address] = Counter()
    _judges(ledger, parties, seats, (votes, outcome), terms)
    if outcome in (Outcome.FIRST_WON, Outcome.SECOND_WON):
        winner, loser = (
            (parties.first, parties.second) if outcome is Outcome.FIRST_WON else (parties.second, parties.first)
        )
        _slash_loser(ledger, (winner, loser, parties.request_fee), _agreeing(seats, votes, outcome), terms)
    if outcome is Outcome.VOID:
        _move(ledger, parties.dispatcher, BURN, terms.bond - terms.judge_fee * len(votes))
    return {party: Amount(amount) for party, amount in ledger.items() if amount}


def _judges(
    ledger: Counter[Address],
    parties: Parties,
    seats: Sequence[Address],
    cast: tuple[Mapping[int, Vote], Outcome],
    terms: DuelTerms,
) -> None:
    """A revealing seat gets its fee from the dispatcher's bond; dissent costs, and silence at least as much."""
    votes, outcome = cast
    decided = outcome in (Outcome.FIRST_WON, Outcome.SECOND_WON)
    for seat, judge in enumerate(seats):
        vote = votes.get(seat)
        if vote is None:
            _move(ledger, judge, BURN, terms.silent_slash)
            continue
        _move(ledger, parties.dispatcher, judge, terms.judge_fee)
        if decided and vote != int(outcome):
            _move(ledger, judge, BURN, terms.minority_slash)


def _slash_loser(
    ledger: Counter[Address], sides: tuple[Address, Address, Amount], agreeing: Sequence[Address], terms: DuelTerms
) -> None:
    """40 % to the winner but never above the request's fee, 30 % to the agreeing judges, the rest burnt."""
    winner, loser, fee = sides
    to_winner = min(terms.loser_slash * terms.winner_per_mille // PER_MILLE, fee)
    each = terms.loser_slash * terms.judges_per_mille // PER_MILLE // max(len(agreeing), 1)
    _move(ledger, loser, winner, to_winner)
    for judge in agreeing:
        _move(ledger, loser, judge, each)
    _move(ledger, loser, BURN, terms.loser_slash - to_winner - each * len(agreeing))


def _agreeing(seats: Sequence[Address], votes: Mapping[int, Vote], outcome: Outcome) -> list[Address]:
    return [judge for seat, judge in enumerate(seats) if votes.get(seat) == int(outcome)]


def _move(ledger: Counter[Address], payer: Address, payee: Address, amount: int) -> None:
    ledger[payer] -= amount
    ledger[payee] += amount
