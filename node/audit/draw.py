"""One draw, derived again: the order from stakes and seed, then every step's reason and every signed word.

Written from the design, not from the node: the order is rebuilt the plain way, a walk over what is left. It objects to
whoever is missing from the record, skipped without a reason, or chosen out of turn; it cannot know whether a provider
was really silent, so it counts such reasons and objects when they are too many.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from node.audit.crypto import hexed, keccak, octets_of, recover, uint_of
from node.audit.errors import MalformedError
from node.audit.structs import StructType

RECORD_DOMAIN = b"wwwserve draw record v1\n"
REFUSAL = StructType.of("Refusal(address payee,address asker,bytes32 requestId,string reason,uint64 issuedAt)")
ROW_TYPE = (
    "ModelBid(bytes32 model,uint128 pricePrompt,uint128 priceCompletion,uint32 startMillis,uint32 tokenMicros,"
    "uint32 addedMillis,uint32 inFlight,uint32 freeSlots,uint32 kvRoom)"
)
ROW = StructType.of(ROW_TYPE)
BID_TYPE_HASH = keccak(
    ("Bid(address payee,bytes32 requestId,uint64 number,uint64 issuedAt,ModelBid[] models)" + ROW_TYPE).encode()
)
SKIPS = frozenset(
    {
        "self",
        "same_controller",
        "on_path",
        "no_model",
        "not_named",
        "blocklisted",
        "dead",
        "timed_out",
        "backing_off",
        "too_expensive",
        "no_cover",
    }
)
UNPROVEN = frozenset({"dead", "timed_out", "backing_off", "blocklisted"})
"""The dispatcher's own word: some are normal, most of a long order is not."""
MANY, MOST_UNPROVEN = 8, 0.5
STALE_SECONDS = 3_600
STANDING = bytes(32)
"""The request id of a bid that a node makes for no request in particular."""
STANDING_SECONDS = 30
CODES = {
    "DRW-01": "the record is not signed by the dispatcher's operator key",
    "DRW-02": "the record is for another request, dispatcher or round",
    "DRW-03": "the block is not that of the chain, or not finalised",
    "DRW-04": "the block was old when the draw was made",
    "DRW-05": "the order is not the one that stakes and seed give",
    "DRW-06": "a provider was passed over without a reason",
    "DRW-07": "a refusal or bid is not the peer's own signed word",
    "DRW-08": "chosen out of turn: not among those who bid",
    "DRW-09": "too many were passed over on the dispatcher's word alone",
    "DRW-10": "the record says itself where it is not so",
}


@dataclass(frozen=True, slots=True)
class DrawContext:
    """What the chain says at and after the block a draw names. `operators`: every key a payee ever had."""

    separator: bytes
    block_hash: bytes
    block_at: int
    is_final: bool
    stakes: Mapping[bytes, int]
    operators: Mapping[bytes, frozenset[bytes]]


@dataclass(slots=True)
class DrawReport:
    """What is wrong with the draws of one request."""

    findings: list[tuple[str, str]] = field(default_factory=list)
    looked_at: int = 0
    skips: dict[str, int] = field(default_factory=dict)

    def add(self, code: str, message: str) -> None:
        """One finding."""
        self.findings.append((code, message))


def order_of(seed: bytes, stakes: Mapping[bytes, int]) -> Iterator[bytes]:
    """Draw number i falls on the point keccak(seed || i) mod (stake left) of the line of those left, by address."""
    left = sorted((address, stake) for address, stake in stakes.items() if stake > 0)
    number = 0
    while left:
        point = int.from_bytes(keccak(seed + number.to_bytes(32, "big")), "big") % sum(stake for _, stake in left)
        for place, (address, stake) in enumerate(left):
            if point < stake:
                yield address
                del left[place]
                break
            point -= stake
        number += 1


def block_of(record: Mapping[str, object]) -> int:
    """The block a record names. Raises MalformedError."""
    return uint_of(record.get("blockNumber"), 64, "blockNumber")


def parse_record(document: str) -> Mapping[str, object]:
    """The record in its canonical text. Raises MalformedError."""
    try:
        record = json.loads(document)
    except ValueError as exc:
        raise MalformedError("the record is not JSON") from exc
    if not isinstance(record, dict) or not isinstance(record.get("steps"), list):
        raise MalformedError("the record is not an object with steps")
    return record


def check_draw(
    document: str, signature: bytes, wanted: tuple[bytes, bytes, int], context: DrawContext, report: DrawReport
) -> None:
    """One round. `wanted`: request id, dispatcher, round. Raises MalformedError for what is no record."""
    record = parse_record(document)
    request_id, dispatcher, number = wanted
    digest = _digest(context, keccak(RECORD_DOMAIN + document.encode()))
    if recover(digest, signature) not in context.operators.get(dispatcher, frozenset()):
        report.add("DRW-01", f"round {number}: signed by a key that {hexed(dispatcher)} never had")
    said = (octets_of(record.get("requestId"), 32, "requestId"), octets_of(record.get("dispatcher"), 20, "dispatcher"))
    if said != (request_id, dispatcher) or record.get("round") != number:
        report.add("DRW-02", f"round {number} is served with a record of round {record.get('round')}")
    _check_block(record, context, report)
    steps = [_Step.of(step) for step in _list(record["steps"])]
    seed = keccak(request_id + context.separator + dispatcher)
    _check_order(steps, seed, context, report)
    for step in steps:
        _check_step(step, (request_id, dispatcher, _made_at(record)), context, report)
    _check_choice(steps, str(record.get("decision")), report)
    _check_excess(steps, report)


@dataclass(frozen=True, slots=True)
class _Step:
    provider: bytes
    act: str
    reason: str
    evidence: Mapping[str, object] | None

    @staticmethod
    def of(document: object) -> "_Step":
        if not isinstance(document, dict):
            raise MalformedError("a step is not an object")
        evidence = document.get("evidence")
        return _Step(
            octets_of(document.get("provider"), 20, "provider"),
            str(document.get("act")),
            str(document.get("reason")),
            evidence if isinstance(evidence, dict) else None,
        )


def _list(member: object) -> list[object]:
    return member if isinstance(member, list) else []


def _digest(context: DrawContext, struct_hash: bytes) -> bytes:
    return keccak(b"\x19\x01" + context.separator + struct_hash)


def _check_block(record: Mapping[str, object], context: DrawContext, report: DrawReport) -> None:
    named = octets_of(record.get("blockHash"), 32, "blockHash")
    if named != context.block_hash or not context.is_final:
        report.add("DRW-03", f"block {record.get('blockNumber')} is {hexed(context.block_hash)}, not {hexed(named)}")
    made_at = _made_at(record)
    if made_at > context.block_at + STALE_SECONDS:
        report.add("DRW-04", f"the block was {made_at - context.block_at} s old")


def _made_at(record: Mapping[str, object]) -> int:
    return uint_of(record.get("madeAt"), 64, "madeAt") // 1_000_000


def _check_order(steps: Sequence[_Step], seed: bytes, context: DrawContext, report: DrawReport) -> None:
    order = order_of(seed, context.stakes)
    for place, step in enumerate(steps):
        due = next(order, None)
        if due != step.provider:
            whose = "nobody is left" if due is None else f"it was the turn of {hexed(due)}"
            report.add("DRW-05", f"place {place} names {hexed(step.provider)}; {whose}")
            return


def _check_step(step: _Step, about: tuple[bytes, bytes, int], context: DrawContext, report: DrawReport) -> None:
    request_id, dispatcher, made_at = about
    report.looked_at += 1
    who = hexed(step.provider)
    if step.act in ("skipped", "refused"):
        report.skips[step.reason] = report.skips.get(step.reason, 0) + 1
    if step.act == "skipped" and step.reason not in SKIPS:
        report.add("DRW-06", f"{who}: {step.reason or 'no reason'}")
    if (step.reason == "self") != (step.provider == dispatcher):
        report.add("DRW-10", f"{who} is recorded as {step.act} ({step.reason or 'no reason'})")
    if step.act == "refused" and step.reason not in ("timed_out", "too_expensive", "no_cover"):
        _check_refusal(step, request_id, dispatcher, context, report)
    if step.act in ("bid", "chosen"):
        _check_bid(step, (request_id, made_at), context, report)


def _check_refusal(step: _Step, request_id: bytes, dispatcher: bytes, context: DrawContext, report: DrawReport) -> None:
    who = hexed(step.provider)
    if step.evidence is None:
        report.add("DRW-06", f"{who}: refused ({step.reason or 'no reason'}) without its signed refusal")
        return
    members = {name: value for name, value in step.evidence.items() if name != "signature"}
    message = REFUSAL.parse(members)
    says = (message.octets["payee"], message.octets["asker"], message.octets["requestId"], message.texts["reason"])
    if says != (step.provider, dispatcher, request_id, step.reason):
        report.add("DRW-07", f"{who}: its refusal is for something else")
    _check_signed(step, message.struct_hash, context, report)


def _check_bid(step: _Step, asked: tuple[bytes, int], context: DrawContext, report: DrawReport) -> None:
    """A bid for this request, or a standing one of about the same time. `asked`: request id and the record's time."""
    request_id, made_at = asked
    who, evidence = hexed(step.provider), step.evidence
    if evidence is None:
        report.add("DRW-08", f"{who} is recorded as {step.act} without a bid")
        return
    payee, about = octets_of(evidence.get("payee"), 20, "payee"), octets_of(evidence.get("requestId"), 32, "requestId")
    rows = keccak(b"".join(ROW.parse(row).struct_hash for row in _list(evidence.get("models"))))
    numbers = [uint_of(evidence.get(name), 64, name).to_bytes(32, "big") for name in ("number", "issuedAt")]
    if payee != step.provider or about not in (request_id, STANDING):
        report.add("DRW-07", f"{who}: its bid is for something else")
    age = made_at - uint_of(evidence.get("issuedAt"), 64, "issuedAt") // 1_000_000
    if about == STANDING and abs(age) > STANDING_SECONDS:
        report.add("DRW-07", f"{who}: its standing bid was {age} s old")
    struct_hash = keccak(BID_TYPE_HASH + payee.rjust(32, b"\x00") + about + b"".join(numbers) + rows)
    _check_signed(step, struct_hash, context, report)


def _check_signed(step: _Step, struct_hash: bytes, context: DrawContext, report: DrawReport) -> None:
    evidence = step.evidence or {}
    signature = octets_of(evidence.get("signature"), 65, "signature")
    if recover(_digest(context, struct_hash), signature) not in context.operators.get(step.provider, frozenset()):
        report.add("DRW-07", f"{hexed(step.provider)}: its word is signed by a key that it never had")


def _check_choice(steps: Sequence[_Step], decision: str, report: DrawReport) -> None:
    chosen = [step for step in steps if step.act == "chosen"]
    if len(chosen) > 1 or (decision == "Offload") != bool(chosen):
        report.add("DRW-08", f"the decision is {decision}, and {len(chosen)} providers are recorded as chosen")


def _check_excess(steps: Sequence[_Step], report: DrawReport) -> None:
    unproven = sum(step.reason in UNPROVEN for step in steps if step.act in ("skipped", "refused"))
    if len(steps) >= MANY and unproven > MOST_UNPROVEN * len(steps):
        report.add("DRW-09", f"{unproven} of {len(steps)} were dead, silent or avoided by the dispatcher's word alone")
