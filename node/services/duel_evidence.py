"""Evidence, both ways: who has it serves it to drawn judges alone, sealed to a key of theirs; a judge fetches it.

The dispatcher has it, and every judge that was shown it: a dispatcher that shows it to some judges only would make the
others vote "no evidence", or a judge of its choice dissent and lose (D12). It proves itself, whoever sends it.
"""

import asyncio
import logging
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from node.core.duel_facts import CourtFacts, DuelFacts, DuelState
from node.core.errors import BadVoucher, NotFound, PeerFailed, WrongSignature
from node.core.evidence import EVIDENCE_SECONDS, SLOTS, EvidenceWish, case_from, whom_to_ask
from node.core.hashing import keccak
from node.core.judging.case import Case
from node.core.types import Address, Bytes32, Seconds
from node.core.wire import address_of, bytes_of, hex_of, signature_of, uint_of
from node.ports.network import Limits, Membership, Peers
from node.services.bids import Identity
from node.services.duel_parts import DuelParts

log = logging.getLogger(__name__)
EVIDENCE_PATH = "/v1/duels/evidence"
KEY_BYTES = 33
FETCH = Limits(max_bytes=64 * 1024 * 1024, seconds=30.0)
COMMIT_PARTS = 32
"""Nobody is waited for longer than this part of the commit window: five slow ones in a row leave time to vote."""
LETTERS_AT_ONCE = 4
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
    """The side of who has it: the dispatcher, or another judge."""

    parts: DuelParts
    identity: Identity
    seal: Seal
    _sent: Counter[tuple[Bytes32, Address]] = field(default_factory=Counter)
    _sealing: set[tuple[Bytes32, Address]] = field(default_factory=set)

    async def answer(self, document: object) -> dict[str, str]:
        """Sealed evidence. Raises BadVoucher, WrongSignature, NotFound."""
        wish, signature = _wish_from(document, self.parts.me)
        if abs(self.identity.clock.now() - wish.at) > EVIDENCE_SECONDS:
            raise BadVoucher("this wish for evidence is too old, or ahead of our clock", field="at")
        operator = (await self.parts.blocks.load_payee(wish.judge)).operator
        if not self.identity.is_by(operator, wish.struct_hash(), signature):
            raise WrongSignature("not signed by the judge's operator key")
        facts = await self.parts.book.load_duel(wish.duel)
        if not _sits(wish.judge, facts, await self.parts.book.load_court()):
            raise NotFound("this provider has no seat in that duel")
        evidence = await self.parts.store.load_evidence(wish.duel)
        if evidence is None:
            raise NotFound("this node holds no evidence of that duel")
        return {"sealed": await self._letter(wish, evidence)}

    async def tidy(self) -> None:
        """Delete what was kept as a judge when the dispatcher deletes it too: once the duel's end is final.

        A reorganisation, or books that are read anew, may make a duel unknown for a while. Raises as the books do.
        """
        cursor = await self.parts.head()
        if cursor is None:
            return
        epoch = (await self.parts.rules()).epoch
        for duel, kept_at in (await self.parts.store.load_held()).items():
            facts = await self.parts.book.load_duel(duel)
            is_gone = facts.state is DuelState.NONE and cursor.head.timestamp >= kept_at + epoch
            if is_gone or (facts.is_over and facts.ended_at <= cursor.finalised):
                await self.parts.store.drop_evidence(duel)

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


def _wish_from(document: object, holder: Address) -> tuple[EvidenceWish, Any]:
    """A wish for `holder`, who reads it: one that was signed for another does not bear its signature."""
    if not isinstance(document, Mapping):
        raise BadVoucher("a wish for evidence must be a JSON object")
    wish = EvidenceWish(
        duel=Bytes32(bytes_of(document.get("duelId"), 32, "duelId")),
        judge=address_of(document.get("judge"), "judge"),
        holder=holder,
        sealing_key=bytes_of(document.get("sealingKey"), KEY_BYTES, "sealingKey"),
        at=Seconds(uint_of(document.get("at"), 64, "at")),
    )
    return wish, signature_of(document.get("signature"))


@dataclass(slots=True)
class EvidenceReader:
    """The judge's side."""

    parts: DuelParts
    identity: Identity
    membership: Membership
    peers: Peers
    new_box: Callable[[], Box]
    _asked: dict[tuple[Bytes32, Seconds], int] = field(default_factory=dict)
    """Of each window, named by its end, the last slot in which anybody was asked."""
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LETTERS_AT_ONCE))

    async def find(self, duel: Bytes32, facts: DuelFacts, at: Seconds) -> Case | None:
        """The case, checked against the chain; kept for the other judges before it is judged. None: not shown so far.

        Raises LedgerUnavailable or ChainUnavailable.
        """
        if (case := await self._held(duel, facts)) is not None:
            return case
        commit = (await self.parts.rules()).commit
        slot = SLOTS * (at - facts.commit_end + commit) // commit
        for source in await self._sources(duel, facts, slot):
            try:
                async with self._room:
                    evidence, case = await self._fetch(source, duel, facts, commit / COMMIT_PARTS)
            except (PeerFailed, BadVoucher) as exc:
                log.warning("no evidence of duel %s from %s: %s", duel.hex(), hex_of(source), exc.message)
                continue
            await self.parts.store.keep_evidence(duel, evidence, Seconds(int(self.identity.clock.now())))
            return case
        self._asked[(duel, facts.commit_end)] = slot  # here, not before: what the books failed to keep is asked again
        return None

    async def _held(self, duel: Bytes32, facts: DuelFacts) -> Case | None:
        """What an earlier look, or life, of ours has kept."""
        held = await self.parts.store.load_evidence(duel)
        try:
            return None if held is None else await asyncio.to_thread(case_from, held, facts)
        except BadVoucher:  # a reorganisation came between: the same duel, opened again with other evidence
            await self.parts.store.drop_evidence(duel)
            return None

    async def _sources(self, duel: Bytes32, facts: DuelFacts, slot: int) -> Sequence[Address]:
        """Whose turn it is. Each judge asks the others in an order of its own, so that none is asked by all at once."""
        before = self._asked.get((duel, facts.commit_end))
        if before is not None and slot <= before:
            return ()
        members = (await self.parts.book.load_court()).members
        seated = {members[place].provider for place in facts.places.values() if place in members}
        others = sorted(seated - {self.parts.me}, key=lambda one: keccak(duel + self.parts.me + one))
        return whom_to_ask(facts.dispatcher, others, slot, is_first=before is None)

    async def _fetch(self, source: Address, duel: Bytes32, facts: DuelFacts, seconds: float) -> tuple[bytes, Case]:
        """Evidence that proves itself, so that whoever lies costs a try. Raises PeerFailed or BadVoucher."""
        member = self.membership.member(source)
        if member is None:
            raise PeerFailed("it is not registered any more")
        box = self.new_box()
        wish = EvidenceWish(duel, self.parts.me, source, box.address, Seconds(int(self.identity.clock.now())))
        body = {
            "duelId": hex_of(duel),
            "judge": hex_of(wish.judge),
            "sealingKey": hex_of(wish.sealing_key),
            "at": str(wish.at),
            "signature": hex_of(self.identity.sign(wish.struct_hash())),
        }
        limits = replace(FETCH, seconds=min(FETCH.seconds, seconds))
        reply = await self.peers.post_json(member, EVIDENCE_PATH, body, limits)
        sealed = reply.document.get("sealed")
        if not isinstance(sealed, str):
            raise PeerFailed("it shows no evidence")
        return await asyncio.to_thread(_read, sealed, box, facts)  # megabytes, if the sender likes

    def forget(self, running: Container[Bytes32]) -> None:
        """Duels that are over need no turns."""
        for key in [one for one in self._asked if one[0] not in running]:
            del self._asked[key]


def _read(sealed: str, box: Box, facts: DuelFacts) -> tuple[bytes, Case]:
    try:
        letter = b64decode(sealed, validate=True)
    except (NotBase64, ValueError) as exc:
        raise PeerFailed("its letter is not base64") from exc
    evidence = box.open(letter)
    return evidence, case_from(evidence, facts)
