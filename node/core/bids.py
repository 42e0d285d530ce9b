"""The signed bid: what a node says of its load, its prices and when it would finish. A promise that others measure.

A standing bid (request id zero) travels with the node's membership packets, one row a model; a bid for one request has
that request's id and one row. `routing_bid` gives a row as the facts that policies compare: it is the same bid.
"""

from dataclasses import dataclass, fields
from typing import Any

from node.core.errors import BadVoucher
from node.core.hashing import address_word, keccak, word
from node.core.pricing import charge_of
from node.core.routing.types import Bid as RoutingBid
from node.core.routing.types import Forecast
from node.core.types import ZERO32, Address, Amount, Bytes32, Micros, Signature, TokenCount
from node.core.wire import address_of, bytes_of, hex_of, signature_of, uint_of

MODEL_BID_TYPE = (
    b"ModelBid(bytes32 model,uint128 pricePrompt,uint128 priceCompletion,uint32 startMillis,uint32 tokenMicros,"
    b"uint32 addedMillis,uint32 inFlight,uint32 freeSlots,uint32 kvRoom)"
)
BID_TYPE = b"Bid(address payee,bytes32 requestId,uint64 number,uint64 issuedAt,ModelBid[] models)" + MODEL_BID_TYPE
MODEL_BID_TYPE_HASH = keccak(MODEL_BID_TYPE)
BID_TYPE_HASH = keccak(BID_TYPE)
MAX_MODELS = 8
"""Rows of one bid: it must fit a packet. A node with more models names those with the most room."""
U32_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ModelBid:
    """One model: prices in base units per million tokens, and the forecast for one more request of the size meant.

    `kv_room` is how many LLM tokens still fit the KV cache. The size meant is the request's own, or in a standing bid a
    middling one that the bidder chooses: it is a hint for whom to ask, never a price or a promise.
    """

    model: Bytes32
    price_prompt: Amount
    price_completion: Amount
    start_millis: int
    token_micros: int
    added_millis: int
    in_flight: int
    free_slots: int
    kv_room: int

    def struct_hash(self) -> Bytes32:
        """`hashStruct(ModelBid)`."""
        numbers = (getattr(self, name) for name in _NUMBERS)
        return keccak(MODEL_BID_TYPE_HASH + self.model + b"".join(word(number) for number in numbers))

    @property
    def forecast(self) -> Forecast:
        """The promise in seconds."""
        return Forecast(self.start_millis / 1e3, self.token_micros / 1e6, self.added_millis / 1e3)


_NUMBERS = tuple(member.name for member in fields(ModelBid) if member.name != "model")
_BITS = {"price_prompt": 128, "price_completion": 128}
_NAMES = {name: name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]) for name in _NUMBERS}


def millis_of(seconds: float) -> int:
    """Seconds as a bid's milliseconds; what is too long to say is said as the longest."""
    return int(min(max(seconds, 0.0) * 1e3, U32_MAX))


def micros_of(seconds: float) -> int:
    """Seconds as a bid's microseconds, likewise."""
    return int(min(max(seconds, 0.0) * 1e6, U32_MAX))


@dataclass(frozen=True, slots=True)
class Bid:
    """A node's word, signed by its operator key. Of two, the one with the higher `number` holds."""

    payee: Address
    request_id: Bytes32
    number: int
    issued_at: Micros
    models: tuple[ModelBid, ...]

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Bid)`."""
        models = keccak(b"".join(model.struct_hash() for model in self.models))
        head = BID_TYPE_HASH + address_word(self.payee) + self.request_id
        return keccak(head + word(self.number) + word(self.issued_at) + models)

    @property
    def is_standing(self) -> bool:
        """Whether it is for no request in particular."""
        return self.request_id == ZERO32

    def row_of(self, model: Bytes32) -> ModelBid | None:
        """The row of a model (keccak of its name), or None."""
        return next((row for row in self.models if row.model == model), None)


@dataclass(frozen=True, slots=True)
class SignedBid:
    """A bid and its operator's signature."""

    bid: Bid
    signature: Signature


def routing_bid(payee: Address, row: ModelBid, tokens: TokenCount) -> RoutingBid:
    """The row as policies see it, with the price of a request of at most `tokens`."""
    price = charge_of(tokens, row.price_prompt, row.price_completion)
    return RoutingBid(payee, price, row.forecast, row.in_flight, row.free_slots > 0)


def bid_to_json(signed: SignedBid) -> dict[str, Any]:
    """A signed bid for an HTTP body."""
    bid = signed.bid
    return {
        "payee": hex_of(bid.payee),
        "requestId": hex_of(bid.request_id),
        "number": str(bid.number),
        "issuedAt": str(bid.issued_at),
        "models": [_row_to_json(row) for row in bid.models],
        "signature": hex_of(signed.signature),
    }


def bid_from_json(value: object) -> SignedBid:
    """The reverse; the signature is not checked here. Raises BadVoucher."""
    if not isinstance(value, dict) or not isinstance(value.get("models"), list) or len(value["models"]) > MAX_MODELS:
        raise BadVoucher(f"a bid must be an object with at most {MAX_MODELS} models", field="bid")
    bid = Bid(
        payee=address_of(value.get("payee"), "payee"),
        request_id=Bytes32(bytes_of(value.get("requestId"), 32, "requestId")),
        number=uint_of(value.get("number"), 64, "number"),
        issued_at=Micros(uint_of(value.get("issuedAt"), 64, "issuedAt")),
        models=tuple(_row_from_json(row) for row in value["models"]),
    )
    return SignedBid(bid, signature_of(value.get("signature")))


def _row_to_json(row: ModelBid) -> dict[str, Any]:
    numbers = {_NAMES[name]: getattr(row, name) for name in _NUMBERS}
    return {"model": hex_of(row.model)} | {
        name: str(number) if name.startswith("price") else number for name, number in numbers.items()
    }


def _row_from_json(value: object) -> ModelBid:
    if not isinstance(value, dict) or len(value) != len(_NUMBERS) + 1:
        raise BadVoucher("a bid's row must have exactly the members of ModelBid", field="models")
    numbers = {name: uint_of(value.get(_NAMES[name]), _BITS.get(name, 32), _NAMES[name]) for name in _NUMBERS}
    return ModelBid(model=Bytes32(bytes_of(value.get("model"), 32, "model")), **numbers)  # type: ignore[arg-type]
