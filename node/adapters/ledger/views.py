"""The auditor's views `charge` and `duel`, made by migrations.

`charge`: one row a receipt, with the members of Receipt, Terms and Voucher, one name each. `duel`: one row a duel that
was opened, and how it ended; its parties and words are 0x-hex, as in the events it is made of.
"""

from sqlalchemy import Column, Integer, MetaData, Table, Text

from node.adapters.ledger.types import BIGINT, BYTES, DIGITS, U128

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


def _duel(argument: str, whole: str, amount: str) -> str:
    """The view, given how a database reads a member of an event's arguments: as text, as an integer, as an amount."""
    names = {"first": "first", "second": "second", "dispatcher": "dispatcher", "requestId": "request_id"}
    names |= {"firstAnswer": "first_answer", "secondAnswer": "second_answer", "evidenceRoot": "evidence_root"}
    texts = [argument.format(event="opened", name=name) + f" AS {ours}" for name, ours in names.items()]
    numbers = {"epoch": "epoch", "attempt": "attempt", "drawBlock": "draw_block"}
    texts += [whole.format(event="opened", name=name) + f" AS {ours}" for name, ours in numbers.items()]
    ends = {"slashed": "slashed", "share": "share", "bondBack": "bond_back", "appealBack": "appeal_back"}
    amounts = [amount.format(event="opened", name="prize") + " AS prize"]
    amounts += [amount.format(event="ended", name=name) + f" AS {ours}" for name, ours in ends.items()]
    outcome = whole.format(event="ended", name="outcome") + " AS outcome"
    columns = ",\n       ".join([*texts, *amounts, outcome])
    return f"""CREATE VIEW duel AS
SELECT opened.subject AS duel_id, opened.block_number AS opened_block, opened.log_index,
       chain_block.timestamp AS opened_at, ended.block_number AS ended_block,
       {columns}
FROM chain_event AS opened
JOIN chain_block ON chain_block.hash = opened.block_hash
LEFT JOIN chain_event AS ended ON ended.kind = 'duel' AND ended.subject = opened.subject AND ended.name = 'Finalized'
WHERE opened.kind = 'duel' AND opened.name = 'Opened'"""  # noqa: S608 -- names of this file


DUEL = {
    "sqlite": _duel(
        "json_extract({event}.args, '$.{name}')",
        "CAST(json_extract({event}.args, '$.{name}') AS INTEGER)",
        f"substr('{'0' * DIGITS}' || json_extract({{event}}.args, '$.{{name}}'), -{DIGITS})",
    ),
    "postgresql": _duel(
        "{event}.args::json ->> '{name}'",
        "CAST({event}.args::json ->> '{name}' AS BIGINT)",
        f"CAST({{event}}.args::json ->> '{{name}}' AS NUMERIC({DIGITS}, 0))",
    ),
}
_DUEL_INTEGERS = ("opened_block", "log_index", "opened_at", "ended_block", "epoch", "attempt", "draw_block", "outcome")
_DUEL_TEXTS = ("dispatcher", "first", "second", "request_id", "first_answer", "second_answer", "evidence_root")
_DUEL_AMOUNTS = ("prize", "slashed", "share", "bond_back", "appeal_back")

duel = Table(
    "duel",
    MetaData(),
    Column("duel_id", BYTES),
    *(Column(name, BIGINT) for name in _DUEL_INTEGERS),
    *(Column(name, Text) for name in _DUEL_TEXTS),
    *(Column(name, U128) for name in _DUEL_AMOUNTS),
)
"""As `charge`."""
