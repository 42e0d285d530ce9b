"""The draws of one request, fetched from its dispatcher and checked round by round."""

from dataclasses import dataclass

from node.audit.crypto import hexed, octets_of
from node.audit.draw import CODES, DrawReport, block_of, check_draw, parse_record
from node.audit.draw_chain import DrawChain
from node.audit.errors import CannotAuditError, MalformedError, UnservedError
from node.audit.web import Web


@dataclass(frozen=True, slots=True)
class DrawAudit:
    """A finished check."""

    request_id: bytes
    dispatcher: bytes
    rounds: int
    report: DrawReport

    def to_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "ok": not self.report.findings,
            "requestId": hexed(self.request_id),
            "dispatcher": hexed(self.dispatcher),
            "rounds": self.rounds,
            "looked_at": self.report.looked_at,
            "skips": dict(sorted(self.report.skips.items())),
            "findings": [
                {"code": code, "rule": CODES[code], "message": message} for code, message in self.report.findings
            ],
        }


def audit_draw(chain: DrawChain, web: Web, wanted: tuple[bytes, bytes], endpoint: str = "") -> DrawAudit:
    """`wanted`: request id and dispatcher. Raises CannotAuditError when there is nothing to check."""
    request_id, dispatcher = wanted
    base = endpoint or chain.endpoint_of(dispatcher)
    if not base:
        raise CannotAuditError(f"{hexed(dispatcher)} is no provider of this registry: name another --dispatcher")
    try:
        shown = web.get_json(base, f"/v1/draws/{hexed(request_id)}", {})
    except UnservedError as exc:
        raise CannotAuditError(f"{base} shows no draw of {hexed(request_id)}: {exc.reason}") from exc
    rounds = shown.get("draws") if isinstance(shown, dict) else None
    if not isinstance(rounds, list) or not rounds:
        raise CannotAuditError(f"{base} shows no draw of {hexed(request_id)}")
    report = DrawReport()
    for number, one in enumerate(rounds, start=1):
        try:
            _check(chain, one, (request_id, dispatcher, number), report)
        except MalformedError as exc:
            raise CannotAuditError(f"{base}: round {number} is no record of a draw: {exc}") from exc
    return DrawAudit(request_id, dispatcher, len(rounds), report)


def _check(chain: DrawChain, one: object, wanted: tuple[bytes, bytes, int], report: DrawReport) -> None:
    if not isinstance(one, dict) or not isinstance(one.get("document"), str):
        raise MalformedError("there is no document")
    document = one["document"]
    signature = octets_of(one.get("signature"), 65, "signature")
    check_draw(document, signature, wanted, chain.context(block_of(parse_record(document))), report)
