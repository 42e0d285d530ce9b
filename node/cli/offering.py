"""Making and extending offer files from what the command line says."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.adapters.tokens.counter import load_counter
from node.cli.common import screen
from node.core.errors import BadConfig
from node.core.messages import ModelOffer, Offer
from node.core.types import Address, Amount, Seconds
from node.offer_file import read_offer, save_offer

DAY = 86_400
MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class OfferWishes:
    """One model as the command line describes it."""

    payee: Address
    name: str
    tokenizer: Path
    price_prompt: int
    price_completion: int
    context_length: int
    max_completion: int
    minimum_budget: int
    valid_days: int


def write_offer(out: Path, wishes: OfferWishes, *, adds: bool, is_quiet: bool) -> dict[str, Any]:
    """Make or extend an offer file. Raises BadConfig."""
    if not wishes.name.isprintable() or not 0 < len(wishes.name) <= MAX_NAME:
        raise BadConfig(f"--model must be printable text of at most {MAX_NAME} characters")
    counter = load_counter(wishes.tokenizer)
    model = ModelOffer(
        name=wishes.name,
        tokenizer=counter.tokenizer_hash,
        template=counter.template_hash,
        price_prompt=Amount(wishes.price_prompt),
        price_completion=Amount(wishes.price_completion),
        context_length=wishes.context_length,
        max_completion=wishes.max_completion,
    )
    offer = _extended(out, wishes, model) if adds else _first(wishes, model)
    save_offer(out, offer)
    offer_hash = "0x" + offer.struct_hash().hex()
    if not is_quiet:
        screen.print(f"wrote {out}: {len(offer.models)} model(s), offer hash {offer_hash}", soft_wrap=True)
    return {"offer_hash": offer_hash, "file": str(out), "models": [model.name for model in offer.models]}


def _first(wishes: OfferWishes, model: ModelOffer) -> Offer:
    now = int(time.time())
    return Offer(
        payee=wishes.payee,
        number=now,  # rises with every offer, which is all that its number must do
        models=(model,),
        minimum_budget=Amount(wishes.minimum_budget),
        valid_from=Seconds(now),
        valid_until=Seconds(now + wishes.valid_days * DAY),
    )


def _extended(out: Path, wishes: OfferWishes, model: ModelOffer) -> Offer:
    old = read_offer(out)
    if old.payee != wishes.payee:
        raise BadConfig(f"{out} is another payee's offer")
    others = tuple(known for known in old.models if known.name != model.name)
    fresh = _first(wishes, model)
    return replace(fresh, models=(*others, model), number=max(fresh.number, old.number + 1))
