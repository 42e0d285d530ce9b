"""The auditor's view `charge`: one row a receipt, with the members of Receipt, Terms and Voucher, one name each."""

from sqlalchemy import Column, Integer, MetaData, Table

from node.adapters.ledger.types import BIGINT, BYTES, U128

CHARGE = """CREATE VIEW charge AS
SELECT lane.payer, lane.payee, lane.lane, receipt.generation, receipt.seq, receipt.position, voucher.request_id,
       voucher.context, voucher.request_hash, receipt.response_hash, receipt.answer_hash, receipt.prompt_tokens,
       receipt.completion_tokens, receipt.status, receipt.charge, receipt.cumulative,
       receipt_signature.signature, voucher.ceiling, voucher.signature AS voucher_signature,
       agreement.offer_hash, agreement.model, agreement.tokenizer, agreement.template, agreement.price_prompt,
       agreement.price_completion, voucher.max_price, voucher.start_by, voucher.mode, voucher.flags,
       voucher.hops, voucher.origin_hash, voucher.salt, voucher.received_at, voucher.lease, receipt.voucher_id,
       receipt.lane_id
FROM receipt
JOIN voucher ON voucher.id = receipt.voucher_id
JOIN agreement ON agreement.id = voucher.agreement_id
JOIN lane ON lane.id = receipt.lane_id
LEFT JOIN receipt_signature ON receipt_signature.voucher_id = receipt.voucher_id"""

_AMOUNTS = frozenset({"charge", "cumulative", "ceiling", "price_prompt", "price_completion", "max_price"})
_INTEGERS = frozenset(
    [
        "generation",
        "seq",
        "position",
        "prompt_tokens",
        "completion_tokens",
        "start_by",
        "flags",
        "received_at",
        "lease",
        "voucher_id",
        "lane_id",
    ],
)
_SMALL = frozenset({"status", "mode", "hops"})
_NAMES = [
    "payer",
    "payee",
    "lane",
    "generation",
    "seq",
    "position",
    "request_id",
    "context",
    "request_hash",
    "response_hash",
    "answer_hash",
    "prompt_tokens",
    "completion_tokens",
    "status",
    "charge",
    "cumulative",
    "signature",
    "ceiling",
    "voucher_signature",
    "offer_hash",
    "model",
    "tokenizer",
    "template",
    "price_prompt",
    "price_completion",
    "max_price",
    "start_by",
    "mode",
    "flags",
    "hops",
    "origin_hash",
    "salt",
    "received_at",
    "lease",
    "voucher_id",
    "lane_id",
]


def _column(name: str) -> Column[object]:
    if name in _AMOUNTS:
        return Column(name, U128)
    if name in _INTEGERS:
        return Column(name, BIGINT)
    return Column(name, Integer if name in _SMALL else BYTES)


charge = Table("charge", MetaData(), *(_column(name) for name in _NAMES))
"""The view as a table of its own metadata: it is made by a migration, never by `create_all`."""
