"""A policy is one small class with one method: look at a case, throw the dice if you must, decide.

Write your own by giving an object a `decide` of this shape and naming it in `POLICIES` of your build, or pass it to the
node directly. It is called twice for an offload: before anyone was asked (`case.bids is None`) and with the bids.
"""

from typing import Protocol

from node.core.routing.adaptive import Adaptive
from node.core.routing.baselines import PowerOfTwo, RandomNode, Single
from node.core.routing.config import BadProviderConfig, ProviderConfig
from node.core.routing.paper import Paper
from node.core.routing.types import Case, Decision, Dice


class Policy(Protocol):
    """Where a request is served."""

    def decide(self, case: Case, dice: Dice) -> Decision:
        """Decide. Must not keep the case, do I/O or read a clock."""
        ...


POLICIES: dict[str, type[Adaptive] | type[Paper] | type[Single] | type[RandomNode] | type[PowerOfTwo]] = {
    "adaptive": Adaptive,
    "paper": Paper,
    "single": Single,
    "random": RandomNode,
    "power-of-two": PowerOfTwo,
}


def build_policy(config: ProviderConfig) -> Policy:
    """The policy a provider's settings name."""
    chosen = POLICIES.get(config.policy)
    if chosen is None:
        raise BadProviderConfig(f"unknown policy {config.policy!r}; known: {', '.join(POLICIES)}", setting="policy")
    return chosen(config)
