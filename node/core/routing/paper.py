"""WWW.Serve's dispatch rule (arXiv 2603.20661), for a fair comparison and for providers who want just that.

The caller keeps the paper's other habits: a decision every half second, load figures up to three seconds old.
"""

from dataclasses import dataclass

from node.core.routing.config import ProviderConfig
from node.core.routing.types import Ask, Case, Decision, Dice, Offload, Reason, ServeHere, Wait


@dataclass(frozen=True, slots=True)
class Paper:
    """Home below the target; else offload with one probability, queue at home with another; else look again."""

    config: ProviderConfig

    def decide(self, case: Case, dice: Dice) -> Decision:
        """The four rules in order. `case.here.usage` is the cached metric, own in-flight work not added."""
        if case.bids:
            return Offload(case.bids[0], Reason.FIRST_ACCEPTED)
        if case.bids is None:
            if case.here.usage < self.config.target_usage:
                return ServeHere(Reason.BELOW_TARGET)
            may_offload = case.peers > 0 and not case.request.demands.no_offload
            if may_offload and dice.random() < self.config.offload_frequency:
                return Ask(self.config.candidates, Reason.DICE)
        if dice.random() < self.config.queue_frequency:
            return ServeHere(Reason.DICE)
        return Wait(Reason.NO_SLOT)
