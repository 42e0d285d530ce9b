"""Small parts of the membership protocol for its tests: real keys where signatures matter."""

import random
from dataclasses import dataclass

from coincurve import PrivateKey

from node.core.bids import Bid, ModelBid, SignedBid
from node.core.errors import WrongSignature
from node.core.membership.members import Registered
from node.core.membership.packets import Draft, Packet, encode, struct_hash_of
from node.core.membership.rumours import Rumour, Signable, SignedRumour
from node.core.membership.settings import SwimSettings
from node.core.membership.swim import Swim
from node.core.types import ZERO32, Address, Amount, Bytes32, Micros, Signature
from node.services.membership import KeyNotary
from tests.factories import DOMAIN, address_of_key, sign

WALL = Micros(1_800_000_000_000_000)


@dataclass(frozen=True)
class Key:
    """ports.Signer."""

    secret: PrivateKey

    @property
    def address(self) -> Address:
        return address_of_key(self.secret)

    def sign(self, digest: Bytes32) -> Signature:
        return sign(self.secret, digest)


def key(number: int) -> Key:
    return Key(PrivateKey(bytes([number]) * 32))


def payee(number: int) -> Address:
    return Address(bytes([number]) * 20)


def recover(digest: Bytes32, signature: Signature) -> Address:
    from node.adapters.keys import recover as real

    return real(digest, signature)


def recover_or_none(digest: Bytes32, signature: Signature) -> Address | None:
    try:
        return recover(digest, signature)
    except WrongSignature:
        return None


def registry(count: int) -> list[Registered]:
    return [Registered(payee(n), key(n).address, f"https://p{n}.example") for n in range(1, count + 1)]


def notary(number: int) -> KeyNotary:
    return KeyNotary(DOMAIN, key(number), recover)


def signed(number: int, message: Signable) -> Signature:
    return key(number).sign(DOMAIN.digest(message.struct_hash()))


def rumour(author: int, one: Rumour) -> SignedRumour:
    return SignedRumour(one, signed(author, one))


def make_row(**changes: int) -> ModelBid:
    fields = {
        "price_prompt": 10,
        "price_completion": 20,
        "start_millis": 30,
        "token_micros": 40,
        "added_millis": 50,
        "in_flight": 1,
        "free_slots": 2,
        "kv_room": 3,
    } | changes
    return ModelBid(
        Bytes32(b"\x77" * 32), Amount(fields.pop("price_prompt")), Amount(fields.pop("price_completion")), **fields
    )


def make_bid(author: int, number: int = 1, issued_at: Micros = WALL, rows: int = 1) -> SignedBid:
    bid = Bid(payee(author), ZERO32, number, issued_at, tuple(make_row() for _ in range(rows)))
    return SignedBid(bid, signed(author, bid))


def sealed(packet: Packet, signer: int) -> bytes:
    contents = encode(packet)
    digest = DOMAIN.digest(struct_hash_of(packet.sender, packet.receiver, contents))
    return contents + key(signer).sign(digest)


def packet(sender: int, receiver: int, draft: Draft, number: int = WALL, answers: int = 0) -> Packet:
    return Packet(payee(sender), payee(receiver), Micros(number), Micros(answers), draft)


def swim(me: int, count: int, *, settings: SwimSettings | None = None, incarnation: int = 100) -> Swim:
    machine = Swim(payee(me), settings or SwimSettings(), random.Random(me), notary(me), incarnation)
    machine.update_registry(registry(count), 0.0)
    return machine
