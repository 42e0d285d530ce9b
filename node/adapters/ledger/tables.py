"""Every table of a payee's books, for node and auditor alike. Constraints repeat the invariants; nothing is read here.

Rows of voucher, receipt, receipt_signature, claim, offer and chain_event are appended and never edited. `account`,
`pair` and `reservation` cache what those rows add up to, so that admission need not SUM; `totals.py` checks the cache.
A lane has one row for life and one `account` row a generation of the payee's key. docs/ledger.md explains each table.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from node.adapters.ledger.columns import address, amount, metadata, natural, octets
from node.adapters.ledger.types import BIGINT, BYTES, FLAG

pair = Table(
    "pair",
    metadata,
    address("payer", is_key=True),
    address("payee", is_key=True),
    amount("cover"),
    amount("committed"),
    amount("thawing"),
    natural("thaw_end"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""What the chain allots (cover: lowest since the finalised block) and what all lanes together hold of it."""

lane = Table(
    "lane",
    metadata,
    Column("id", BIGINT, primary_key=True),
    address("payer"),
    address("payee"),
    address("lane"),
    amount("claimed"),
    ForeignKeyConstraint(["payer", "payee"], ["pair.payer", "pair.payee"]),
    UniqueConstraint("payer", "payee", "lane"),
    sqlite_strict=True,
)
"""One signer of a pair, for life. `claimed` = the escrow's lifetime total at the head."""

account = Table(
    "account",
    metadata,
    Column("lane_id", BIGINT, ForeignKey("lane.id"), primary_key=True),
    Column("generation", BIGINT, primary_key=True, autoincrement=False),
    amount("base"),
    amount("charged"),
    amount("reserved"),
    amount("best"),
    Column("best_voucher_id", BIGINT, nullable=True),
    natural("seq"),
    natural("count"),
    Column("is_frozen", FLAG, nullable=False),
    CheckConstraint("charged >= base", name="charged_above_base"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""Running totals of a lane in one generation (core.account.LaneState). `best_voucher_id` backs `best` (INV3)."""

lease = Table(
    "lease",
    metadata,
    Column("id", BIGINT, primary_key=True),
    Column("worker", Text, nullable=False),
    natural("taken_at"),
    natural("expires_at"),
    sqlite_strict=True,
)
"""A worker's right to finish its reservations; an expired lease never lives again."""

agreement = Table(
    "agreement",
    metadata,
    Column("id", BIGINT, primary_key=True),
    octets("offer_hash"),
    octets("model"),
    octets("tokenizer"),
    octets("template"),
    amount("price_prompt"),
    amount("price_completion"),
    UniqueConstraint("offer_hash", "model", "tokenizer", "template", "price_prompt", "price_completion"),
    sqlite_strict=True,
)
"""What the Terms of many requests have in common: one line of an offer, as the payer signed it."""

voucher = Table(
    "voucher",
    metadata,
    Column("id", BIGINT, primary_key=True, autoincrement=False),
    Column("lane_id", BIGINT, nullable=False),
    Column("generation", BIGINT, nullable=False),
    octets("request_id"),
    amount("ceiling"),
    octets("context"),
    Column("signature", BYTES, CheckConstraint("length(signature) = 65", name="signature"), nullable=False),
    octets("request_hash"),
    Column("agreement_id", BIGINT, ForeignKey("agreement.id"), nullable=False),
    amount("max_price"),
    natural("start_by"),
    Column("mode", Integer, nullable=False),
    Column("flags", BIGINT, nullable=False),
    Column("hops", Integer, nullable=False),
    octets("origin_hash"),
    octets("salt"),
    natural("received_at"),
    Column("lease", BIGINT, ForeignKey("lease.id"), nullable=False),
    CheckConstraint("length(request_id) = 32", name="request_id"),
    ForeignKeyConstraint(["lane_id", "generation"], ["account.lane_id", "account.generation"]),
    UniqueConstraint("lane_id", "request_id"),
    sqlite_strict=True,
)
"""One row an admitted request: the voucher, its signature and the Terms. An id is used once in a lane (rule 9).

`id` = lease << 40 | number, so that no two workers meet and a lease's vouchers are one range.
"""

reservation = Table(
    "reservation",
    metadata,
    Column("voucher_id", BIGINT, ForeignKey("voucher.id"), primary_key=True, autoincrement=False),
    sqlite_strict=True,
)
"""Requests being served now: vouchers without a receipt, found without a scan."""

receipt = Table(
    "receipt",
    metadata,
    Column("voucher_id", BIGINT, ForeignKey("voucher.id"), primary_key=True, autoincrement=False),
    Column("lane_id", BIGINT, nullable=False),
    Column("generation", BIGINT, nullable=False),
    natural("seq"),
    natural("position"),
    octets("response_hash"),
    octets("answer_hash"),
    natural("prompt_tokens"),
    natural("completion_tokens"),
    Column("status", Integer, CheckConstraint("status BETWEEN 1 AND 4", name="status"), nullable=False),
    amount("charge"),
    amount("cumulative"),
    CheckConstraint("charge <= cumulative", name="charge_within_cumulative"),
    UniqueConstraint("lane_id", "generation", "seq"),
    Index("ix_receipt_seq", "seq"),
    sqlite_strict=True,
)
"""What a request cost, once. Its other members are the voucher's; view `charge` joins them. `position` = leaf index."""

receipt_signature = Table(
    "receipt_signature",
    metadata,
    Column("voucher_id", BIGINT, ForeignKey("receipt.voucher_id"), primary_key=True, autoincrement=False),
    Column("signature", BYTES, CheckConstraint("length(signature) = 65", name="signature"), nullable=False),
    sqlite_strict=True,
)
"""The operator's signature; deterministic, so a missing one is made again."""

offer = Table(
    "offer",
    metadata,
    Column("hash", BYTES, primary_key=True),
    address("payee"),
    natural("number"),
    Column("document", Text, nullable=False),
    Column("signature", BYTES, CheckConstraint("length(signature) = 65", name="signature"), nullable=False),
    address("operator"),
    natural("made_at"),
    sqlite_strict=True,
)
"""Every offer ever in force, as served: terms quote it by hash."""

claim = Table(
    "claim",
    metadata,
    Column("id", BIGINT, primary_key=True),
    Column("lane_id", BIGINT, nullable=False),
    Column("generation", BIGINT, nullable=False),
    natural("seq"),
    amount("cumulative"),
    octets("receipts_root"),
    natural("count"),
    octets("peaks"),
    Column("signature", BYTES, CheckConstraint("length(signature) = 65", name="signature"), nullable=False),
    Column("voucher_id", BIGINT, ForeignKey("voucher.id"), nullable=False),
    ForeignKeyConstraint(["lane_id", "generation"], ["account.lane_id", "account.generation"]),
    UniqueConstraint("lane_id", "generation", "count"),
    Index("ix_claim_receipts_root", "receipts_root"),
    sqlite_strict=True,
)
"""Every claim signed, one a count of receipts. `peaks` = the tree it commits, 32 bytes each."""

draw = Table(
    "draw",
    metadata,
    Column("request_id", BYTES, CheckConstraint("length(request_id) = 32", name="request_id"), primary_key=True),
    Column("round", BIGINT, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("signature", BYTES, CheckConstraint("length(signature) = 65", name="signature"), nullable=False),
    Column("made_at", BIGINT, nullable=False),
    Index("ix_draw_made_at", "made_at"),
    sqlite_strict=True,
)
"""Every draw, as signed and served: who was passed over and why, whoever was asked, and who was chosen.

`made_at`: microseconds; draws are kept for `draw_days`, then purged.
"""
