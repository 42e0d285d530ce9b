"""What a payer asks a node for beside the answers themselves. What a node does not show explains nothing."""

from collections.abc import Mapping
from typing import Any

from node.client.effects import Fetch, Flow, NoReply, Reply
from node.client.x402 import SignedReceipt, parse_receipt
from node.core.assembly import json_object
from node.core.errors import BadVoucher
from node.core.types import Bytes32, LaneKey
from node.core.wire import hex_of

HTTP_OK = 200


def fetch_json(url: str) -> Flow[Mapping[str, Any]]:
    """A JSON object; an empty one when there is none."""
    reply: Reply | NoReply = yield Fetch("GET", url)
    if isinstance(reply, NoReply) or reply.status != HTTP_OK:
        return {}
    return json_object(reply.body) or {}


def fetch_receipt(url: str, key: LaneKey, request_id: Bytes32) -> Flow[SignedReceipt | None]:
    """The receipt of one request, if the payee shows one. Its signature is not checked yet."""
    query = f"payer={hex_of(key.payer)}&lane={hex_of(key.lane)}"
    document = yield from fetch_json(f"{url}/v1/receipts/{hex_of(request_id)}?{query}")
    try:
        return parse_receipt(document)
    except BadVoucher:
        return None
