"""What the owner can buy: the models of all providers, with prices and limits, as one OpenAI list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from node.client.effects import Flow
from node.client.payer import Payer
from node.client.pins import Pin, check_pinned
from node.client.provider import Directory, Provider, learn
from node.core.errors import BadConfig, WwwserveError
from node.core.messages import ModelOffer
from node.core.wire import hex_of


@dataclass(slots=True)
class Catalogue:
    """Each model once, with every provider of it; and why a provider could not be asked."""

    models: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """OpenAI's list; `providers` in preference order is ours."""
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": rows[0]["payee"], "providers": rows}
            for name, rows in sorted(self.models.items())
        ]
        return {"object": "list", "data": data, "failures": self.failures}


def list_models(urls: Sequence[str], payer: Payer, directory: Directory) -> Flow[Catalogue]:
    """Ask every provider. One that fails is named, and the others are listed all the same."""
    found = Catalogue()
    for url in urls:
        try:
            provider = yield from learn(url, payer, directory)
        except WwwserveError as exc:
            found.failures[url] = exc.message
            continue
        for model in provider.offer.models:
            found.models.setdefault(model.name, []).append(_row(provider, model, payer))
    return found


def _row(provider: Provider, model: ModelOffer, payer: Payer) -> dict[str, Any]:
    try:
        check_pinned(payer.pins, model.name, Pin(model.tokenizer, model.template))
    except BadConfig as exc:
        trusted, hint = False, exc.message
    else:
        trusted, hint = True, ""
    return {
        "url": provider.url,
        "payee": hex_of(provider.facts.payee),
        "price_prompt": str(model.price_prompt),
        "price_completion": str(model.price_completion),
        "context_length": model.context_length,
        "max_completion": model.max_completion,
        "trusted": trusted,
        **({"hint": hint} if hint else {}),
    }
