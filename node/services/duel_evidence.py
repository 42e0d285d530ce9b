"""Evidence, both ways: a dispatcher serves it to drawn judges alone, sealed to a key of theirs; a judge fetches it."""

import asyncio
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from node.core.duel_facts import CourtFacts, DuelFacts
from node.core.errors import BadVoucher, NotFound, PeerFailed, WrongSignature
from node.core.evidence import EVIDENCE_SECONDS, EvidenceWish, case_from
from node.core.judging.case import Case
from node.core.types import Address, Bytes32, Seconds
from node.core.wire import address_of, bytes_of, hex_of, signature_of, uint_of
from node.ports.network import Limits, Membership, Peers
from node.services.bids import Identity
from node.services.duel_parts import DuelParts

EVIDENCE_PATH = "/v1/duels/evidence"
KEY_BYTES = 33
FETCH = Limits(max_bytes=64 * 1024 * 1024, seconds=30.0)
MOST_LETTERS = 8
"""Times one judge is sent the evidence of one duel: it needs one, and one more after each restart."""
MOST_COUNTED = 4096
Seal = Callable[[bytes, bytes], bytes]


class Box(Protocol):
    """Receives one sealed letter."""

    @property
    def address(self) -> bytes:
        """What the sender seals to."""

    def open(self, sealed: bytes) -> bytes:
        """Raises BadVoucher."""


@dataclass(frozen=True, slots=True)
class EvidenceDesk:
    """The dispatcher's side."""

    parts: DuelParts
    identity: Identity
    seal: Seal
    _sent: Counter[tuple[Bytes32, Address]] = field(default_factory=Counter)
    _sealing: set[tuple[Bytes32, Address]] = field(default_factory=set)

    async def answer(self, document: object) -> dict[str, str]:
        """Sealed evidence. Raises BadVoucher, WrongSignature, NotFound."""
        wish, signature = _wish_from(document)
        if abs(self.identity.clock.now() - wish.at) > EVIDENCE_SECONDS:
            raise BadVoucher("this wish for evidence is too old, or ahead of our clock", field="at")
        operator = (await self.parts.blocks.load_payee(wish.judge)).operator
        if not self.identity.is_by(operator, wish.struct_hash(), signature):
            raise WrongSignature("not signed by the judge's operator key")
        facts = await self.parts.book.load_duel(wish.duel)
        if not _sits(wish.judge, facts, await self.parts.book.load_court()):
            raise NotFound("this provider has no seat in that duel")
        case = await self.parts.store.load_case(wish.duel)
        if case is None:
            raise NotFound("this node holds no evidence of that duel")
        return {"sealed": await self._letter(wish, case.evidence)}

    async def _letter(self, wish: EvidenceWish, evidence: bytes) -> str:
        """One at a time for each judge and duel, and not for ever: each is megabytes sealed and sent."""
        key = (wish.duel, wish.judge)
        if key in self._sealing or self._sent[key] >= MOST_LETTERS:
            raise NotFound("this judge has been sent that evidence, or is being sent it")
        self._sealing.add(key)
        try:
            sealed = await asyncio.to_thread(lambda: b64encode(self.seal(evidence, wish.sealing_key)).decode())
        finally:
            self._sealing.discard(key)
        if len(self._sent) > MOST_COUNTED:
            self._sent.clear()
        self._sent[key] += 1
        return sealed


def _sits(judge: Address, facts: DuelFacts, court: CourtFacts) -> bool:
    return court.place_of(judge) in facts.places.values()


def _wish_from(document: object) -> tuple[EvidenceWish, Any]:
    if not isinstance(document, Mapping):
        raise BadVoucher("a wish for evidence must be a JSON object")
    wish = EvidenceWish(
        duel=Bytes32(bytes_of(document.get("duelId"), 32, "duelId")),
        judge=address_of(document.get("judge"), "judge"),
        sealing_key=bytes_of(document.get("sealingKey"), KEY_BYTES, "sealingKey"),
        at=Seconds(uint_of(document.get("at"), 64, "at")),
    )
    return wish, signature_of(document.get("signature"))


@dataclass(frozen=True, slots=True)
class EvidenceReader:
    """The judge's side."""

    identity: Identity
    membership: Membership
    peers: Peers
    new_box: Callable[[], Box]

    async def fetch(self, duel: Bytes32, facts: DuelFacts) -> Case:
        """The case, checked against the chain. Raises PeerFailed or BadVoucher."""
        member = self.membership.member(facts.dispatcher)
        if member is None:
            raise PeerFailed("the dispatcher is not registered any more")
        box = self.new_box()
        wish = EvidenceWish(duel, self.identity.me, box.address, Seconds(int(self.identity.clock.now())))
        body = {
            "duelId": hex_of(duel),
            "judge": hex_of(wish.judge),
            "sealingKey": hex_of(wish.sealing_key),
            "at": str(wish.at),
            "signature": hex_of(self.identity.sign(wish.struct_hash())),
        }
        reply = await self.peers.post_json(member, EVIDENCE_PATH, body, FETCH)
        sealed = reply.document.get("sealed")
        if not isinstance(sealed, str):
            raise PeerFailed("the dispatcher shows no evidence")
        return await asyncio.to_thread(_read, sealed, box, facts)  # megabytes, if the dispatcher likes


def _read(sealed: str, box: Box, facts: DuelFacts) -> Case:
    try:
        letter = b64decode(sealed, validate=True)
    except (NotBase64, ValueError) as exc:
        raise PeerFailed("the dispatcher's letter is not base64") from exc
    return case_from(box.open(letter), facts)
