"""Our default policy: serve where the request ends soonest and disturbs others least, as far as honest forecasts tell.

Event-driven, no ticks: it is asked when a request arrives and when a slot frees. A request that has no slot anywhere
waits at its own node, where it can still go to whoever has room first (late binding).
"""

from dataclasses import dataclass

from node.core.routing.config import ProviderConfig
from node.core.routing.types import (
    Ask,
    Bid,
    Case,
    Decision,
    Dice,
    Forecast,
    Offload,
    Preference,
    Reason,
    Refuse,
    ServeHere,
    Wait,
)

HOME_ADVANTAGE_SECONDS = 0.05
"""A peer must win by more than a hop costs."""
SHORTEST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Least expected cost: own finish plus `congestion_weight` times the seconds added to others."""

    config: ProviderConfig

    def decide(self, case: Case, dice: Dice) -> Decision:
        """Home if the engine is as good as idle; else compare home with the bids."""
        if case.bids is not None:
            return self._choose(case, case.bids)
        alone = self._reason_to_stay(case, dice)
        if alone is None:
            return Ask(self.config.candidates, Reason.LOOK_FOR_BETTER)
        return self._at_home(case, alone)

    def _choose(self, case: Case, bids: tuple[Bid, ...]) -> Decision:
        best = min(bids, key=lambda bid: self.bid_cost(case, bid), default=None)
        if best is None:
            return self._at_home(case, Reason.NOBODY_ELSE)
        home = case.here.forecast
        if home is not None and self.cost(case, home) <= self.bid_cost(case, best) + HOME_ADVANTAGE_SECONDS:
            return self._at_home(case, Reason.OWN_ENGINE_BEST)
        if self._is_late(case, best.forecast):
            return self._refuse(case, best.forecast)
        if home is not None and not best.has_slot:
            return Wait(Reason.NO_SLOT)
        return Offload(best, Reason.BEST_BID)

    def cost(self, case: Case, forecast: Forecast) -> float:
        """Expected seconds to the end, and the congestion caused to others, weighed."""
        added = self.config.congestion_weight * forecast.added_seconds
        return forecast.finish_seconds(case.expected_tokens) + added

    def bid_cost(self, case: Case, bid: Bid) -> float:
        """The cost of a bid by the client's preference. Price is relative to the dearest bid, so it has no unit."""
        seconds = self.cost(case, bid.forecast)
        preference = case.request.demands.preference
        if preference is Preference.LATENCY or not case.bids:
            return seconds
        dearest = max(other.price for other in case.bids) or 1
        slowest = max(self.cost(case, other.forecast) for other in case.bids)
        weight = 1.0 if preference is Preference.PRICE else self.config.price_weight
        return (1.0 - weight) * seconds + weight * slowest * bid.price / dearest

    def _reason_to_stay(self, case: Case, dice: Dice) -> Reason | None:
        here = case.here
        if case.request.demands.no_offload:
            return Reason.OFFLOAD_FORBIDDEN
        if case.peers == 0 or len(case.request.path) >= self.config.hop_limit:
            return Reason.NOBODY_ELSE if case.peers == 0 else Reason.HOP_LIMIT
        if here.forecast is None:
            return None
        finish = here.forecast.finish_seconds(case.expected_tokens)
        if here.has_slot and finish <= here.idle_finish_seconds * self.config.ask_above_slowdown:
            return Reason.OWN_ENGINE_FREE
        return None if dice.random() < self.config.offload_frequency else Reason.DICE

    def _at_home(self, case: Case, reason: Reason) -> Decision:
        here = case.here.forecast
        if here is None:
            return Refuse(SHORTEST_RETRY_SECONDS, Reason.MODEL_NOT_HERE)
        if self._is_late(case, here):
            return self._refuse(case, here)
        return ServeHere(reason) if case.here.has_slot else Wait(Reason.NO_SLOT)

    def _is_late(self, case: Case, forecast: Forecast) -> bool:
        return self.config.refuse_late and case.is_late(forecast)

    def _refuse(self, case: Case, forecast: Forecast) -> Refuse:
        over = forecast.finish_seconds(case.expected_tokens) - (case.request.finish_by or 0.0)
        return Refuse(max(over, SHORTEST_RETRY_SECONDS), Reason.DEADLINE_OUT_OF_REACH)
