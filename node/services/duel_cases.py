"""From two bought answers to the case that is kept: what judges can be shown, as the executors signed it."""

from node.core.answers import SignedAnswer
from node.core.assembly import json_object
from node.core.choices import canonical_json
from node.core.duel_chain import duel_id
from node.core.errors import EngineFailed
from node.core.evidence import Evidence, Exhibit
from node.core.hashing import keccak
from node.core.types import Seconds
from node.ports.duels import KeptCase
from node.ports.routing import Bargain
from node.services.answer import Answer

BYTES_A_TOKEN, SLACK_BYTES, MOST_BYTES = 64, 64 * 1024, 8 * 1024 * 1024
"""An answer with more bytes than that is not duelled: judges could not fetch it, which costs the dispatcher's bond."""


def case_of(first: Bargain, found: tuple[Bargain, int], epoch: int, now: Seconds) -> KeptCase:
    """Both answers as judges will see them. Raises EngineFailed as `choices_of` does."""
    second, attempt = found
    exhibits = [Exhibit(one.answer, choices_of(one)) for one in (first, second)]
    evidence = Evidence(first.purchase.path, first.salt, first.body, exhibits[0], exhibits[1])
    duel = duel_id(first.answer.answer.payer, first.receipt.request_id)
    sides: tuple[SignedAnswer, SignedAnswer] = (first.answer, second.answer)
    return KeptCase(duel, epoch, attempt, first.receipt.charge, *sides, evidence.document(), now)


def choices_of(bargain: Bargain) -> bytes:
    """The canonical text that the executor signed for. Raises EngineFailed when the bytes are others."""
    answer = Answer()
    if bargain.raw.lstrip().startswith(b"{"):
        answer.add_body(json_object(bargain.raw) or {})
    else:
        answer.add_events(bargain.raw)
    choices = canonical_json(answer.choices())
    if keccak(bargain.salt + choices) != bargain.answer.answer.response_hash:
        raise EngineFailed("the kept bytes are not the answer that was signed")
    return choices


def can_be_shown(bargain: Bargain) -> bool:
    """Whether judges can fetch it. Raises EngineFailed as `choices_of` does."""
    return len(choices_of(bargain)) <= min(BYTES_A_TOKEN * bargain.receipt.completion_tokens + SLACK_BYTES, MOST_BYTES)
