"""A paying client in a few lines: signs vouchers and builds requests, for the e2e tests and the bench's load files."""

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import Any

import orjson
from coincurve import PrivateKey

from node.core.hashing import Domain, keccak
from node.core.messages import ModelOffer, Offer, Terms, Voucher
from node.core.types import ZERO32, Address, Amount, Bytes32, Seconds
from node.core.wire import hex_of, message_to_json
from tests.factories import address_of_key, sign


@dataclass(slots=True)
class LabPayer:
    """One lane that is the payer's own key. `ceiling` grows by each request's maximum, as rule 1 has it."""

    domain: Domain
    payee: Address
    offer: Offer
    generation: int = 1
    key: PrivateKey = PrivateKey(b"\x01" * 32)
    ceiling: int = 0
    count: int = 0
    tag: bytes = b"lab"

    @property
    def address(self) -> Address:
        return address_of_key(self.key)

    @property
    def model(self) -> ModelOffer:
        return self.offer.models[0]

    def next_id(self) -> Bytes32:
        self.count += 1
        return Bytes32(hashlib.sha256(self.tag + self.count.to_bytes(8, "big")).digest())

    def terms(self, body: bytes, start_by: int, max_price: int, salt: Bytes32 = ZERO32) -> Terms:
        return Terms(
            request_id=self.next_id(),
            request_hash=keccak(salt + body),
            offer_hash=self.offer.struct_hash(),
            model=self.model.model,
            tokenizer=self.model.tokenizer,
            template=self.model.template,
            price_prompt=self.model.price_prompt,
            price_completion=self.model.price_completion,
            max_price=Amount(max_price),
            start_by=Seconds(start_by),
            mode=0,
            flags=0,
            hops=0,
            origin_hash=ZERO32,
        )

    def header(self, terms: Terms, salt: Bytes32 = ZERO32, **changes: Any) -> bytes:
        """The PAYMENT-SIGNATURE value. `changes` replace members of the voucher before it is signed."""
        self.ceiling += terms.max_price
        voucher = Voucher(self.address, self.payee, self.generation, Amount(self.ceiling), terms.struct_hash())
        voucher = replace(voucher, **changes)
        return payment_header(
            self.domain, voucher, sign(self.key, self.domain.digest(voucher.struct_hash())), terms, salt
        )

    def pay(self, body: bytes, start_by: int, max_price: int = 2_000) -> dict[str, str]:
        """Headers of one paid request."""
        return {"PAYMENT-SIGNATURE": self.header(self.terms(body, start_by, max_price)).decode()}


def payment_header(domain: Domain, voucher: Voucher, signature: bytes, terms: Terms, salt: bytes) -> bytes:
    document = {
        "x402Version": 2,
        "scheme": "ceiling",
        "network": f"eip155:{domain.chain_id}",
        "payload": {
            "voucher": message_to_json(voucher),
            "signature": hex_of(signature),
            "terms": message_to_json(terms),
            "salt": hex_of(salt),
        },
    }
    return base64.b64encode(orjson.dumps(document))


def receipt_of(header: str) -> dict[str, Any]:
    """The document of a PAYMENT-RESPONSE header or of a stream's receipt comment."""
    return orjson.loads(base64.b64decode(header))
