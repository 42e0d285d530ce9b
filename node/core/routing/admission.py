"""A provider answering "would you serve this?": its own rules in order, each refusal with its reason.

Pure: signing the bid, checking the asker's signature and reserving money are the caller's.
"""

from dataclasses import dataclass

from node.core.routing.config import ProviderConfig
from node.core.routing.types import Bid, Case, Dice, Skip
from node.core.types import Address, Amount


@dataclass(frozen=True, slots=True)
class Enquiry:
    """Who asks for what, as the asked provider sees it; `own_queue` is how many of its own users' requests wait."""

    case: Case
    asker: Address
    now: float
    price: Amount
    offered_models: frozenset[str]
    own_queue: int


def answer_enquiry(config: ProviderConfig, me: Address, enquiry: Enquiry, dice: Dice) -> Bid | Skip:
    """A bid, or why not."""
    refusal = _participation(config, enquiry) or _fit(config, enquiry) or _capacity(config, enquiry, dice)
    here = enquiry.case.here
    if refusal is not None or here.forecast is None:
        return refusal or Skip.NO_MODEL
    return Bid(me, enquiry.price, here.forecast, here.in_flight, here.has_slot)


def _participation(config: ProviderConfig, enquiry: Enquiry) -> Skip | None:
    if config.draining:
        return Skip.REFUSED_DRAINING
    if enquiry.asker in config.blocklist:
        return Skip.BLOCKLISTED
    return None if config.serves_peers_at(enquiry.now) else Skip.REFUSED_SCHEDULE


def _fit(config: ProviderConfig, enquiry: Enquiry) -> Skip | None:
    request = enquiry.case.request
    models = enquiry.offered_models & config.models if config.models else enquiry.offered_models
    if not models.intersection(request.models):
        return Skip.NO_MODEL
    if config.max_context and request.prompt_tokens + request.max_tokens > config.max_context:
        return Skip.REFUSED_CONTEXT
    most = request.demands.max_price
    if enquiry.price < config.minimum_price or (most is not None and enquiry.price > most):
        return Skip.REFUSED_PRICE
    return None


def _capacity(config: ProviderConfig, enquiry: Enquiry, dice: Dice) -> Skip | None:
    here = enquiry.case.here
    if config.max_concurrency and here.in_flight >= config.max_concurrency:
        return Skip.REFUSED_BUSY
    if config.own_users_first and enquiry.own_queue:
        return Skip.REFUSED_BUSY
    if config.policy == "paper" and here.usage >= config.target_usage:
        return Skip.REFUSED_BUSY
    if config.refuse_late and here.forecast is not None and enquiry.case.is_late(here.forecast):
        return Skip.REFUSED_DEADLINE
    return None if dice.random() < config.accept_frequency else Skip.REFUSED_POLICY
