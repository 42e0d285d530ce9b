"""The most a request can cost under an offer. Counts prompts exactly; off the event loop when they are long.

Admits nothing and charges nothing.
"""

import asyncio
from collections.abc import Mapping

from node.core.errors import PromptTooLong, UnknownModel
from node.core.messages import ModelOffer, Offer
from node.core.pricing import charge_of
from node.core.records import record
from node.core.types import Amount, Bytes32, TokenCount
from node.ports.engine import TokenCounter
from node.services.request import Request

INLINE_BYTES = 8 * 1024
"""Counting this much takes 1 to 6 ms; more would hold up every other stream of the process."""

Counters = Mapping[tuple[Bytes32, Bytes32], TokenCounter]
"""By (tokenizer hash, template hash), as model offers name them."""


@record
class Quote:
    """`price` is the charge if the whole completion limit is used."""

    model: ModelOffer
    prompt_tokens: int
    completion_limit: int
    price: Amount


def model_of(offer: Offer, name: str) -> ModelOffer:
    """Raises UnknownModel."""
    model = offer.model_named(name)
    if model is None:
        raise UnknownModel("this node does not offer that model", param="model")
    return model


def counter_of(counters: Counters, model: ModelOffer) -> TokenCounter:
    """Raises UnknownModel for an offer whose artifacts this node was not started with."""
    counter = counters.get((model.tokenizer, model.template))
    if counter is None:
        raise UnknownModel("this node lacks the tokenizer of that offer", param="model")
    return counter


async def count_prompt(counter: TokenCounter, request: Request) -> int:
    """The billing count of the prompt."""
    if len(request.body) <= INLINE_BYTES:
        return counter.count_prompt(request.prompt)
    return await asyncio.to_thread(counter.count_prompt, request.prompt)


async def count_texts(counter: TokenCounter, texts: list[str]) -> int:
    """The billing count of delivered texts."""
    if sum(map(len, texts)) <= INLINE_BYTES:
        return sum(map(counter.count_completion, texts))
    return await asyncio.to_thread(lambda: sum(map(counter.count_completion, texts)))


def quote_for(request: Request, model: ModelOffer, prompt_tokens: int) -> Quote:
    """Clamp the completion to request, offer and context. Raises PromptTooLong."""
    left = model.context_length - prompt_tokens
    if left < 1:
        raise PromptTooLong(
            "the prompt leaves no room for a completion in this model's context",
            prompt_tokens=prompt_tokens,
            context_length=model.context_length,
        )
    limit = min(left, model.max_completion, request.max_tokens or model.max_completion)
    price = charge_of(TokenCount(prompt_tokens, limit), model.price_prompt, model.price_completion)
    return Quote(model, prompt_tokens, limit, price)


async def quote_unpaid(request: Request, offer: Offer, counters: Counters) -> Quote:
    """A price for somebody who has not paid: exact for a small body, from its bytes otherwise (threat P15).

    A token is at least one byte, so the bytes bound the count; the context bounds it too.
    """
    model = model_of(offer, request.model)
    if len(request.body) <= INLINE_BYTES:
        return quote_for(request, model, counter_of(counters, model).count_prompt(request.prompt))
    return quote_for(request, model, min(len(request.body), model.context_length - 1))
