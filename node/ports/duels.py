"""Duels: what the books know of them, what a node keeps of its own part, what the contract is asked and sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.core.answers import SignedAnswer
from node.core.duel_facts import CourtFacts, DuelFacts
from node.core.duels import Vote
from node.core.transactions import Call
from node.core.types import Address, Amount, Bytes32, Seconds


class DuelBook(Protocol):
    """Duels as the booked events tell them, up to the newest booked block: a reorganisation may undo the last steps."""

    async def load_duel(self, duel: Bytes32) -> DuelFacts:
        """One duel's course; state NONE for one that was never opened."""

    async def load_court(self) -> CourtFacts:
        """Who could be drawn, and with what weight at the end of every epoch."""

    async def load_running(self) -> Mapping[Bytes32, DuelFacts]:
        """Every duel that is not over."""

    async def load_ended(self, after: tuple[int, int]) -> Sequence[tuple[tuple[int, int], DuelFacts]]:
        """Duels that ended at a finalised place (block, log index) later than `after`, in that order."""


@dataclass(frozen=True, slots=True)
class KeptCase:
    """A duel of this node's from the moment both answers are there, with the evidence for its judges."""

    duel: Bytes32
    epoch: int
    attempt: int
    fee: Amount
    first: SignedAnswer
    second: SignedAnswer
    evidence: bytes
    made_at: Seconds


@dataclass(frozen=True, slots=True)
class KeptVote:
    """One seat's vote, durable before its commitment is sent: without its salt it could never be revealed."""

    seat: int
    vote: Vote
    salt: Bytes32
    rationale: str


class DuelStore(Protocol):
    """A node's own part in duels. Every method raises LedgerUnavailable."""

    async def keep_case(self, case: KeptCase) -> None:
        """Before its opening is wanted. The same duel again changes nothing."""

    async def load_case(self, duel: Bytes32) -> KeptCase | None:
        """One case of this node's."""

    async def load_cases(self) -> Sequence[KeptCase]:
        """Every case that was not dropped."""

    async def drop_case(self, duel: Bytes32) -> None:
        """Its evidence is deleted with it."""

    async def keep_evidence(self, duel: Bytes32, evidence: bytes, at: Seconds) -> None:
        """What a judge was shown, proven. The same duel again changes nothing."""

    async def load_evidence(self, duel: Bytes32) -> bytes | None:
        """A duel's evidence, whether this node dispatches it or judges it."""

    async def load_held(self) -> Mapping[Bytes32, Seconds]:
        """Duels whose evidence was kept as a judge, and when."""

    async def drop_evidence(self, duel: Bytes32) -> None:
        """What was kept as a judge."""

    async def keep_votes(self, duel: Bytes32, votes: Sequence[KeptVote]) -> None:
        """A seat that has a vote keeps it."""

    async def load_votes(self, duel: Bytes32) -> Mapping[int, KeptVote]:
        """By seat."""

    async def keep_canary(self, duel: Bytes32, verdict: Vote) -> None:
        """This duel's right verdict is known. It outlives the case."""

    async def load_canary(self, duel: Bytes32) -> Vote | None:
        """The right verdict; None: not known."""

    async def keep_seed(self, epoch: int, seed: Bytes32) -> Bytes32:
        """The seed of that epoch: this one, or the one kept before."""

    async def load_seed(self, epoch: int) -> Bytes32 | None:
        """The seed of an epoch."""


@dataclass(frozen=True, slots=True)
class CourtRules:
    """The contract's windows in seconds and its bond."""

    epoch: Seconds
    commit: Seconds
    reveal: Seconds
    appeal: Seconds
    bond: Amount


@dataclass(frozen=True, slots=True)
class SeedOnChain:
    """What the contract knows of a dispatcher's epoch; a rate of 0: nothing was committed."""

    rate_per_mille: int
    is_revealed: bool


class DuelChain(Protocol):
    """The contract. Reads raise ChainUnavailable; calls only encode."""

    async def read_rules(self) -> CourtRules:
        """Fixed at deployment. As all endpoints asked agree."""

    async def read_balance(self, account: Address) -> Amount:
        """What bonds can be locked from."""

    async def read_seed(self, dispatcher: Address, epoch: int) -> SeedOnChain:
        """See SeedOnChain. As all endpoints asked agree."""

    def commit_seed(self, dispatcher: Address, commitment: Bytes32, rate_per_mille: int) -> Call:
        """For the next epoch."""

    def reveal_seed(self, dispatcher: Address, epoch: int, seed: Bytes32) -> Call:
        """In the first half of the epoch after it."""

    def open(self, case: KeptCase, evidence_root: Bytes32) -> Call:
        """Lock the bond."""

    def draw(self, duel: Bytes32) -> Call:
        """The judges, or an appeal's jury."""

    def commit(self, duel: Bytes32, seat: int, commitment: Bytes32) -> Call:
        """A hidden vote."""

    def reveal(self, duel: Bytes32, vote: KeptVote) -> Call:
        """The vote with its salt."""

    def finalize(self, duel: Bytes32) -> Call:
        """End what is due."""
