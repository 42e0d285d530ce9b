"""What a request may cost: the prompt counted exactly, the completion bounded by request, offer, context and budget."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.client.wallet import BudgetReached
from node.core.errors import BadRequest, PromptTooLong
from node.core.hashing import keccak
from node.core.messages import ModelOffer
from node.core.pricing import charge_of
from node.core.types import Amount, Bytes32, TokenCount


@dataclass(frozen=True, slots=True)
class Ask:
    """One OpenAI request as it came: its bytes go to the provider unchanged, so that a retry is the same request."""

    path: str
    body: bytes
    fields: Mapping[str, Any]
    retry_key: str = ""
    ids: list[Bytes32] = field(default_factory=list, compare=False)
    """Request ids begun for it, newest last: what tells a retry apart from a twin."""
    prompt_tokens: int | None = None
    """If this process has counted the prompt before, by the same pinned artifacts; None = count."""

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.fields["model"])

    @property
    def is_stream(self) -> bool:
        """Whether the answer comes as events."""
        return self.fields.get("stream") is True

    @property
    def body_hash(self) -> Bytes32:
        """What a retry is recognised by: the same route and the same bytes."""
        return keccak(self.path.encode() + b"\x00" + self.body)


def parse_ask(path: str, body: bytes, retry_key: str = "") -> Ask:
    """Raises BadRequest for what is no request object with a model; everything else is the provider's to judge."""
    try:
        fields = json.loads(body)
        if b"\\u" in body or b"\xed" in body:  # half a surrogate pair is JSON and no text: nobody can count it
            json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise BadRequest("the body holds half of a surrogate pair (\\ud800 to \\udfff): that is no character") from exc
    except (ValueError, RecursionError) as exc:
        raise BadRequest("the body is not valid JSON") from exc
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model or len(model) > 256 or not model.isprintable():
        raise BadRequest("model must be the name of an offered model", param="model")
    return Ask(path, body, fields, retry_key)


def max_price(ask: Ask, model: ModelOffer, prompt_tokens: int, per_request: Amount) -> Amount:
    """The reservation to sign. Raises PromptTooLong or BudgetReached.

    A caller that names no limit gets what the per-request budget buys; one that names a limit it cannot afford is told.
    """
    left = model.context_length - prompt_tokens
    if left < 1:
        raise PromptTooLong("the prompt leaves no room in this model's context", context_length=model.context_length)
    asked = _asked_tokens(ask.fields)
    limit = min(left, model.max_completion, model.max_completion if asked is None else asked)
    price = charge_of(TokenCount(prompt_tokens, limit), model.price_prompt, model.price_completion)
    if price <= per_request:
        return price
    least = charge_of(TokenCount(prompt_tokens, 1), model.price_prompt, model.price_completion)
    if asked is not None or least > per_request:
        raise BudgetReached(
            "the request may cost more than the per-request budget: ask for fewer tokens or raise the budget",
            needed=price if asked is not None else least,
            budget=per_request,
        )
    return per_request


def _asked_tokens(fields: Mapping[str, Any]) -> int | None:
    """The caller's own limit; nonsense is left for the provider to refuse, at the price of no limit."""
    named = [fields.get(name) for name in ("max_tokens", "max_completion_tokens")]
    return min((n for n in named if isinstance(n, int) and not isinstance(n, bool) and n > 0), default=None)
