"""The evidence of a duel: one request and two answers with what proves that they are the ones signed. Pure.

It never goes on chain; the chain has its hash. A judge gets it from the dispatcher, or from another judge that has it,
sealed to a key of its own.
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.core.answers import SignedAnswer, answer_from_json
from node.core.duel_facts import DuelFacts
from node.core.errors import BadVoucher
from node.core.hashing import address_word, keccak, word
from node.core.judging.case import MOST_READ, Case, answer_text, shown
from node.core.messages import Answer
from node.core.quality import size_class
from node.core.types import Address, Bytes32, Seconds
from node.core.wire import bytes_of, hex_of

EVIDENCE_SECONDS = 60
"""How old, or ahead of our clock, a wish for evidence may be."""
SLOTS = 16
"""Parts of a commit window. A judge without evidence asks for it once in each, until it votes."""
EARLY, LAST = SLOTS // 2, SLOTS * 3 // 4
"""The dispatcher is asked in the first half: whoever has it by then can show it to all others before the last call."""
MOST_ASKED = 4
"""Other judges that are asked at the last call: all of a bench. One in each slot before."""
WISH_TYPE_HASH = keccak(b"EvidenceWish(bytes32 duelId,address judge,address holder,bytes32 sealingKey,uint64 at)")


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One answer: the executor's word and the canonical JSON of its choices."""

    signed: SignedAnswer
    choices: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it. The salt is common: both executors answered the same salted bytes."""

    path: str
    salt: Bytes32
    body: bytes
    first: Exhibit
    second: Exhibit

    def document(self) -> bytes:
        """The bytes whose hash is the evidence root."""
        fields = {
            "path": self.path,
            "salt": hex_of(self.salt),
            "body": b64encode(self.body).decode(),
            "first": _shown(self.first),
            "second": _shown(self.second),
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class EvidenceWish:
    """What a judge signs with its operator key to get the evidence. `sealing_key`: a public key made for this once.

    `holder` is who is asked, and could else show the wish to the others until they serve it no more (D12).
    """

    duel: Bytes32
    judge: Address
    holder: Address
    sealing_key: bytes
    at: Seconds

    def struct_hash(self) -> Bytes32:
        """`hashStruct(EvidenceWish)`."""
        who = address_word(self.judge) + address_word(self.holder)
        return keccak(WISH_TYPE_HASH + self.duel + who + keccak(self.sealing_key) + word(self.at))


def whom_to_ask(dispatcher: Address, others: Sequence[Address], slot: int, *, is_first: bool) -> list[Address]:
    """Whom a judge without evidence asks in a slot, one after the other.

    Late in the window the dispatcher is asked no more, except by a judge that has asked nobody yet: one that shows the
    evidence at the last moment, to a judge of its choice, would leave the others no time to get it from that one.
    """
    asked = [dispatcher] if is_first or slot < EARLY or not others else []
    count = min(MOST_ASKED if slot >= LAST else 1, len(others))
    return asked + [others[(slot + number) % len(others)] for number in range(count)]


def _shown(exhibit: Exhibit) -> dict[str, Any]:
    return {**exhibit.signed.to_json(), "choices": b64encode(exhibit.choices).decode()}


def evidence_from(raw: bytes) -> Evidence:
    """The reverse of `document`. Raises BadVoucher."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise BadVoucher("the evidence is not JSON") from exc
    if not isinstance(fields, Mapping) or not isinstance(fields.get("path"), str):
        raise BadVoucher("the evidence must be a JSON object")
    salt = Bytes32(bytes_of(fields.get("salt"), 32, "salt"))
    exhibits = [_exhibit(fields.get(name)) for name in ("first", "second")]
    return Evidence(fields["path"], salt, _octets(fields.get("body")), exhibits[0], exhibits[1])


def _exhibit(value: object) -> Exhibit:
    if not isinstance(value, Mapping):
        raise BadVoucher("an exhibit must be a JSON object")
    return Exhibit(answer_from_json(value), _octets(value.get("choices")))


def _octets(text: object) -> bytes:
    try:
        return b64decode(text if isinstance(text, str) else "?", validate=True)
    except (NotBase64, ValueError) as exc:
        raise BadVoucher("the evidence holds something that is not base64") from exc


def case_from(raw: bytes, facts: DuelFacts) -> Case:
    """The case as the chain committed to it. Raises BadVoucher for evidence that does not prove itself."""
    if keccak(raw) != facts.evidence_root:
        raise BadVoucher("this is not the evidence whose hash is on chain")
    evidence = evidence_from(raw)
    sides = ((evidence.first, facts.first_answer), (evidence.second, facts.second_answer))
    for exhibit, named in sides:
        _check(evidence, exhibit.signed.answer, exhibit.choices, named)
    if size_class(evidence.body) != facts.size:
        raise BadVoucher("the request is not of the size that the duel was opened with")
    return case_of(evidence)


def case_of(evidence: Evidence) -> Case:
    """What evidence shows, its proofs aside. Raises BadVoucher for what is not JSON."""
    try:
        fields = json.loads(evidence.body)
        texts = [shown(answer_text(json.loads(one.choices)), MOST_READ) for one in (evidence.first, evidence.second)]
    except (ValueError, RecursionError) as exc:
        raise BadVoucher("request or answer is not JSON") from exc
    if not isinstance(fields, dict):
        raise BadVoucher("the request is not an object")
    return Case(evidence.path, fields, texts[0], texts[1])


def _check(evidence: Evidence, answer: Answer, choices: bytes, named: Bytes32) -> None:
    """The answer is the one the duel was opened with; request and text are the ones it was signed over."""
    found = (answer.struct_hash(), keccak(evidence.salt + evidence.body), keccak(evidence.salt + choices))
    if found != (named, answer.request_hash, answer.response_hash):
        raise BadVoucher("an answer in the evidence is not the one that was signed")
