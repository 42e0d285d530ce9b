"""This node's offers and the artifacts they name by hash. Makes and signs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.core.errors import BadConfig, NotFound
from node.core.messages import ModelOffer, Offer
from node.core.types import Address, Bytes32, Seconds, Signature
from node.core.voucher import START_BY_HORIZON
from node.core.wire import hex_of, offer_to_json


@dataclass(frozen=True, slots=True)
class SignedOffer:
    """An offer with the operator key's signature over it."""

    offer: Offer
    signature: Signature
    operator: Address

    def to_json(self) -> dict[str, Any]:
        """The document of `GET /v1/offers/{hash}`."""
        return {
            "offer": offer_to_json(self.offer),
            "signature": hex_of(self.signature),
            "operator": hex_of(self.operator),
        }


class OfferBook:
    """ports.Offers over every offer this node still shows; the last one is in force."""

    def __init__(
        self,
        offers: Sequence[SignedOffer],
        artifacts: Mapping[Bytes32, bytes],
        replaced: Mapping[Bytes32, Seconds] | None = None,
    ) -> None:
        """`replaced`: since when the earlier ones are not in force."""
        if not offers:
            raise BadConfig("a node needs an offer to sell under")
        self._by_hash = {signed.offer.struct_hash(): signed for signed in offers}
        self._replaced = dict(replaced or {})
        self._artifacts = dict(artifacts)
        self._current = offers[-1]
        self.current_hash = offers[-1].offer.struct_hash()

    def take(self, signed: SignedOffer, now: Seconds) -> None:
        """Another offer is in force from now on; the old ones are still shown."""
        self._replaced[self.current_hash] = now
        self._current, self.current_hash = signed, signed.offer.struct_hash()
        self._by_hash[self.current_hash] = signed

    def current(self) -> Offer:
        """The offer in force now."""
        return self._current.offer

    def quoted(self, offer_hash: Bytes32, start_by: Seconds) -> Offer:
        """See ports.Offers. A replaced one is good for what may have been quoted before, not for its whole validity."""
        signed = self._by_hash.get(offer_hash, self._current)
        replaced = self._replaced.get(offer_hash)
        if signed is not self._current and replaced is not None and start_by > replaced + START_BY_HORIZON:
            return self._current.offer
        return signed.offer

    def document(self, offer_hash: Bytes32 | None) -> dict[str, Any]:
        """An offer's document; None = the one in force. Raises NotFound."""
        signed = self._current if offer_hash is None else self._by_hash.get(offer_hash)
        if signed is None:
            raise NotFound("this node made no such offer")
        return signed.to_json()

    def artifact(self, artifact_hash: Bytes32) -> bytes:
        """A tokenizer.json or a chat template. Raises NotFound."""
        artifact = self._artifacts.get(artifact_hash)
        if artifact is None:
            raise NotFound("no offer of this node names that artifact")
        return artifact

    def models(self) -> list[dict[str, Any]]:
        """The OpenAI model list with prices and limits. Nothing of the engine's own list: it names paths (`root`)."""
        return [self._model(model) for model in self._current.offer.models]

    def _model(self, model: ModelOffer) -> dict[str, Any]:
        offer = self._current.offer
        return {
            "id": model.name,
            "object": "model",
            "created": int(offer.valid_from),
            "owned_by": hex_of(offer.payee),
            "max_model_len": model.context_length,
            "max_completion": model.max_completion,
            "price": {
                "prompt": str(model.price_prompt),
                "completion": str(model.price_completion),
                "per_tokens": 1_000_000,
            },
            "tokenizer": hex_of(model.tokenizer),
            "template": hex_of(model.template),
            "offer": hex_of(self.current_hash),
            "valid_until": int(offer.valid_until),
        }
