"""A finished audit as JSON: what scripts and the fault harness read. Amounts are integers in base units."""

from typing import Any

from node.audit.book import Pair
from node.audit.crypto import hexed
from node.audit.findings import Traffic
from node.audit.verify import Audit


def audit_to_json(audit: Audit) -> dict[str, Any]:
    """Everything the human table shows, and every finding whole."""
    pinned = audit.pinned
    return {
        **audit.report.to_json(),
        "block": {"number": pinned.number, "hash": hexed(pinned.block_hash), "timestamp": pinned.at},
        "chain_id": audit.deployment.chain_id,
        "escrow": hexed(audit.deployment.escrow),
        "registry": hexed(audit.deployment.registry),
        "pairs": [_pair(ids, pair, audit.report.traffic.get(ids, Traffic())) for ids, pair in audit.book.pairs.items()],
        "free": {hexed(payer): amount for payer, amount in audit.book.free.items()},
        "earnings": {hexed(payee): state.unpaid for payee, state in audit.book.payees.items()},
        "stakes": {hexed(payee): provider.stake for payee, provider in audit.stakes.providers.items()},
        "settlements": [_settlement(audit, place) for place in range(len(audit.book.settlements))],
    }


def _pair(ids: tuple[bytes, bytes], pair: Pair, traffic: Traffic) -> dict[str, Any]:
    return {
        "payer": hexed(ids[0]),
        "payee": hexed(ids[1]),
        "allotted": pair.allotted,
        "claimed": pair.claimed,
        "thawing": pair.thawing,
        "receipts": traffic.receipts,
        "prompt_tokens": traffic.prompt_tokens,
        "completion_tokens": traffic.completion_tokens,
        "charged": traffic.charged,
    }


def _settlement(audit: Audit, place: int) -> dict[str, Any]:
    each = audit.book.settlements[place]
    return {
        "payer": hexed(each.payer),
        "payee": hexed(each.payee),
        "lane": hexed(each.lane),
        "generation": each.generation,
        "cumulative": each.cumulative,
        "ceiling": each.ceiling,
        "paid": each.paid,
        "count": each.count,
        "root": hexed(each.root),
        "tx": hexed(each.event.log.tx_hash),
        "block": each.event.log.block_number,
    }
