"""What a payer asks a node for beside the answers themselves. What a node does not show explains nothing."""

from collections.abc import Mapping
from typing import Any

from node.client.effects import Fetch, Flow, NoReply, Reply
from node.client.x402 import SignedReceipt, parse_receipt
from node.core.assembly import json_object
from node.core.errors import BadVoucher, PeerFailed
from node.core.types import Bytes32, LaneKey
from node.core.wire import hex_of

HTTP_OK = 200
LATE_SECONDS = 5.0


def fetch_json(url: str) -> Flow[Mapping[str, Any]]:
    """A JSON object; an empty one when there is none."""
    reply: Reply | NoReply = yield Fetch("GET", url)
    return {} if isinstance(reply, NoReply) else _object_in(reply)


def fetch_receipt(url: str, key: LaneKey, request_id: Bytes32) -> Flow[SignedReceipt | None]:
    """The receipt of one request, if the payee shows one. Its signature is not checked yet."""
    return _receipt_in((yield from fetch_json(_receipt_url(url, key, request_id))))


def fetch_late_receipt(url: str, key: LaneKey, request_id: Bytes32) -> Flow[SignedReceipt | None]:
    """The same in a sweep, where one payee's silence holds up all the others. Raises PeerFailed for silence."""
    reply: Reply | NoReply = yield Fetch("GET", _receipt_url(url, key, request_id), timeout=LATE_SECONDS)
    if isinstance(reply, NoReply):
        raise PeerFailed(f"{url}: {reply.why}")
    return _receipt_in(_object_in(reply))


def _receipt_url(url: str, key: LaneKey, request_id: Bytes32) -> str:
    return f"{url}/v1/receipts/{hex_of(request_id)}?payer={hex_of(key.payer)}&lane={hex_of(key.lane)}"


def _object_in(reply: Reply) -> Mapping[str, Any]:
    return (json_object(reply.body) or {}) if reply.status == HTTP_OK else {}


def _receipt_in(document: Mapping[str, Any]) -> SignedReceipt | None:
    try:
        return parse_receipt(document)
    except BadVoucher:
        return None
