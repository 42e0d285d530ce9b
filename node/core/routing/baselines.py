"""The plain rules every other policy must beat: stay at home, anywhere at random, the shorter of two queues."""

from dataclasses import dataclass

from node.core.routing.config import ProviderConfig
from node.core.routing.types import Ask, Case, Decision, Dice, Offload, Reason, ServeHere


@dataclass(frozen=True, slots=True)
class Single:
    """Every request runs on its own node's engine at once."""

    config: ProviderConfig

    def decide(self, case: Case, dice: Dice) -> Decision:  # noqa: ARG002  # one signature for every policy
        """Here, always."""
        return ServeHere(Reason.OWN_ENGINE_FREE)


@dataclass(frozen=True, slots=True)
class RandomNode:
    """One node among all, the own one included."""

    config: ProviderConfig

    def decide(self, case: Case, dice: Dice) -> Decision:
        """Throw once; whoever was drawn serves, unless it refuses."""
        if case.bids:
            return Offload(case.bids[0], Reason.FIRST_ACCEPTED)
        if case.bids is not None or dice.random() * (case.peers + 1) < 1.0:
            return ServeHere(Reason.DICE)
        return Ask(1, Reason.DICE)


@dataclass(frozen=True, slots=True)
class PowerOfTwo:
    """Two nodes among all, the own one as likely as any; the one with fewer requests in flight serves."""

    config: ProviderConfig

    def decide(self, case: Case, dice: Dice) -> Decision:
        """Ask two, or one when the dice chose the own node as the other."""
        if case.bids is None:
            own_is_drawn = dice.random() * (case.peers + 1) < 2.0
            return Ask(1 if own_is_drawn else 2, Reason.DICE) if case.peers else ServeHere(Reason.NOBODY_ELSE)
        if not case.bids:
            return ServeHere(Reason.NOBODY_ELSE)
        shortest = min(case.bids, key=lambda bid: bid.in_flight)
        if len(case.bids) == 1 and case.here.in_flight <= shortest.in_flight:
            return ServeHere(Reason.SHORTER_QUEUE)
        return Offload(shortest, Reason.SHORTER_QUEUE)
