"""Messages as JSON: camelCase names, 0x-hex bytes, decimal strings for integers that may exceed 2^53. Both directions.

Parsing is where ids become canonical (threat I5): one byte string per id whatever the letter case, all else refused.
"""

from binascii import unhexlify
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from node.core.errors import BadVoucher
from node.core.messages import Answer, Claim, ModelOffer, Offer, Receipt, SignerConsent, Terms, Voucher
from node.core.types import Address, Bytes32, Signature

Flat = Terms | Voucher | Receipt | Claim | SignerConsent | Answer | ModelOffer
FlatT = TypeVar("FlatT", Terms, Voucher, Receipt, Claim, SignerConsent, Answer, ModelOffer)

BIG = 128
_WIDTHS = {
    "generation": 32,
    "count": 32,
    "prompt_tokens": 32,
    "completion_tokens": 32,
    "flags": 32,
    "context_length": 32,
    "max_completion": 32,
    "mode": 8,
    "hops": 8,
    "status": 8,
    "seq": 64,
    "start_by": 64,
    "deadline": 64,
}
_ADDRESSES = frozenset({"payer", "payee", "lane", "executor"})


def hex_of(raw: bytes) -> str:
    """0x-prefixed lower-case hex."""
    return "0x" + raw.hex()


def bytes_of(text: object, length: int, what: str) -> bytes:
    """Exactly `length` bytes from 0x-hex. Raises BadVoucher naming `what`."""
    if not isinstance(text, str) or len(text) != 2 + 2 * length or not text.startswith("0x"):
        raise BadVoucher(f"{what} must be 0x and {2 * length} hex digits", field=what)
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError as exc:
        raise BadVoucher(f"{what} is not hex", field=what) from exc
    if len(raw) != length:  # fromhex skips white space
        raise BadVoucher(f"{what} is not hex", field=what)
    return raw


def address_of(text: object, what: str) -> Address:
    """An address from 0x-hex of any letter case."""
    return Address(bytes_of(text, 20, what))


def signature_of(text: object, what: str = "signature") -> Signature:
    """A 65-byte signature; compact or padded forms are refused (one signature, one encoding)."""
    return Signature(bytes_of(text, 65, what))


def uint_of(value: object, bits: int, what: str) -> int:
    """An unsigned integer that fits `bits`, from a JSON integer or a plain decimal string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and (value == "0" or value[0] != "0"):
        value = int(value) if len(value) <= 40 else -1
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise BadVoucher(f"{what} must be an unsigned {bits}-bit integer", field=what)
    return value


def _shape(cls: type[Flat]) -> tuple[tuple[str, str, int], ...]:
    """(attribute, JSON name, bits; 0 = bytes32, -1 = address, -2 = text) of a message's members."""
    shape = []
    for member in fields(cls):
        head, *rest = member.name.split("_")
        name = head + "".join(part.title() for part in rest)
        bits = _WIDTHS.get(member.name, BIG)
        if member.name in _ADDRESSES:
            bits = -1
        elif member.type is Bytes32 or member.type == "Bytes32":
            bits = 0
        elif member.type in (str, "str"):
            bits = -2
        shape.append((member.name, name, bits))
    return tuple(shape)


_SHAPES: dict[type, tuple[tuple[str, str, int], ...]] = {
    cls: _shape(cls) for cls in (Terms, Voucher, Receipt, Claim, SignerConsent, Answer, ModelOffer)
}


def message_to_json(message: Flat) -> dict[str, Any]:
    """A flat message as a JSON object."""
    out: dict[str, Any] = {}
    for attribute, name, bits in _SHAPES[type(message)]:
        value = getattr(message, attribute)
        if bits <= 0:
            out[name] = value if bits == -2 else "0x" + value.hex()  # `hex_of` without its call
        else:
            out[name] = str(value) if bits > 32 else int(value)
    return out


def message_from_json(cls: type[FlatT], value: object) -> FlatT:
    """A flat message from a JSON object; missing, extra or malformed members raise BadVoucher."""
    if not isinstance(value, dict):
        raise BadVoucher(f"{cls.__name__} must be a JSON object", field=cls.__name__)
    shape = _SHAPES[cls]
    if len(value) != len(shape):
        expected = ", ".join(name for _, name, _ in shape)
        raise BadVoucher(f"{cls.__name__} must have exactly the members {expected}", field=cls.__name__)
    members = _hex_members(cls, value)
    if members is None:
        return cls(*[read(value.get(name), size, name) for read, size, name in _READERS[cls]])
    for place, read, size, name in _NUMBERS[cls]:
        members.insert(place, read(value.get(name), size, name))
    return cls(*members)


def _hex_members(cls: type[Flat], value: dict[str, Any]) -> list[Any] | None:
    """All hex members of a message, in order; None where one is wrong (`bytes_of` says which and why)."""
    names, prefixes, sizes = _HEX[cls]
    try:
        texts = [value[name] for name in names]
        raw = [unhexlify(text[2:]) for text in texts]  # unlike fromhex it skips no white space
    except (KeyError, TypeError, ValueError):
        return None
    return raw if [text[:2] for text in texts] == prefixes and list(map(len, raw)) == sizes else None


def _text_of(value: object, longest: int, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > longest:
        raise BadVoucher(f"{what} must be printable text of at most {longest} characters", field=what)
    return value


def _reader(name: str, bits: int) -> tuple[Callable[[object, int, str], Any], int, str]:
    """How a member is read: looked up once, a paid request has nineteen of them."""
    if bits == 0:
        return bytes_of, 32, name
    if bits == -1:
        return bytes_of, 20, name
    return (_text_of, 256, name) if bits == -2 else (uint_of, bits, name)


_READERS = {cls: tuple(_reader(name, bits) for _, name, bits in shape) for cls, shape in _SHAPES.items()}
_NUMBERS = {
    cls: tuple((place, *one) for place, one in enumerate(readers) if one[0] is not bytes_of)
    for cls, readers in _READERS.items()
}
"""Members that are no hex: where they stand and how they are read."""


def _hex_plan(cls: type) -> tuple[list[str], list[str], list[int]]:
    """Names of the hex members, what each begins with, and their lengths in bytes."""
    sizes = {name: size for read, size, name in _READERS[cls] if read is bytes_of}
    return list(sizes), ["0x"] * len(sizes), list(sizes.values())


_HEX = {cls: _hex_plan(cls) for cls in _SHAPES}


def offer_to_json(offer: Offer) -> dict[str, Any]:
    """An offer document's `offer` member."""
    return {
        "payee": hex_of(offer.payee),
        "number": str(offer.number),
        "models": [message_to_json(model) for model in offer.models],
        "minimumBudget": str(offer.minimum_budget),
        "validFrom": str(offer.valid_from),
        "validUntil": str(offer.valid_until),
    }


def offer_from_json(value: object) -> Offer:
    """The reverse of `offer_to_json`. Raises BadVoucher."""
    if not isinstance(value, dict) or not isinstance(value.get("models"), list) or len(value["models"]) > 256:
        raise BadVoucher("an offer must be an object with at most 256 models", field="offer")
    return Offer(
        payee=address_of(value.get("payee"), "payee"),
        number=uint_of(value.get("number"), 64, "number"),
        models=tuple(message_from_json(ModelOffer, model) for model in value["models"]),
        minimum_budget=uint_of(value.get("minimumBudget"), 128, "minimumBudget"),  # type: ignore[arg-type]
        valid_from=uint_of(value.get("validFrom"), 64, "validFrom"),  # type: ignore[arg-type]
        valid_until=uint_of(value.get("validUntil"), 64, "validUntil"),  # type: ignore[arg-type]
    )
