"""Offer documents on disk: {"offer": {...}} as in `GET /v1/offers/{hash}`, without the signature (the node adds it)."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.adapters.tokens.counter import load_counter
from node.cli.common import screen
from node.core.errors import BadConfig, BadVoucher
from node.core.messages import ModelOffer, Offer
from node.core.types import Address, Amount, Seconds
from node.core.wire import offer_from_json, offer_to_json

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
    _write(out, {"offer": offer_to_json(offer)})
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


def read_offer(file: Path) -> Offer:
    """An offer file. Raises BadConfig."""
    try:
        document = json.loads(file.read_text())
    except OSError as exc:
        raise BadConfig(f"cannot read the offer {file}: {exc.strerror}; make one with `register.py offer`") from exc
    except ValueError as exc:
        raise BadConfig(f"the offer {file} is not JSON") from exc
    try:
        return offer_from_json(document.get("offer") if isinstance(document, dict) else None)
    except BadVoucher as exc:
        raise BadConfig(f"the offer {file} is wrong: {exc.message}") from exc


def _write(out: Path, document: dict[str, Any]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2) + "\n")
    except OSError as exc:
        raise BadConfig(f"cannot write {out}: {exc.strerror}") from exc
