"""The tables that follow the chain: its blocks and events, what they add up to, and the transactions we want.

Derived rows (signer, payee_state, payee_operator, provider; pair.cover and lane.claimed in `tables`) say nothing that a
replay of `chain_event` does not say. Events of final blocks are never changed; events of undone blocks are forgotten.
"""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from node.adapters.ledger.columns import address, amount, metadata, natural, octets
from node.adapters.ledger.types import BIGINT, BYTES, FLAG

chain_block = Table(
    "chain_block",
    metadata,
    Column("hash", BYTES, primary_key=True),
    Column("number", BIGINT, CheckConstraint("number >= 0", name="number"), nullable=False, unique=True),
    octets("parent"),
    natural("timestamp"),
    sqlite_strict=True,
)
"""Blocks of the canonical chain as we know it; every one above the finalised, those with events below."""

chain_event = Table(
    "chain_event",
    metadata,
    Column("block_hash", BYTES, ForeignKey("chain_block.hash"), primary_key=True),
    Column("log_index", BIGINT, primary_key=True, autoincrement=False),
    natural("block_number"),
    octets("tx_hash"),
    Column("contract", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    octets("subject"),
    Column("args", Text, nullable=False),
    Index("ix_chain_event_kind_subject", "kind", "subject", "block_number"),
    Index("ix_chain_event_block_number", "block_number"),
    sqlite_strict=True,
)
"""One log of our contracts. `kind` and `subject` (addresses, one after the other) say whose history it belongs to."""

chain_cursor = Table(
    "chain_cursor",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("head_hash", BYTES, ForeignKey("chain_block.hash"), nullable=False),
    natural("finalised"),
    sqlite_strict=True,
)
"""How far the books follow the chain; moves in the transaction that books the events."""

signer = Table(
    "signer",
    metadata,
    address("signer", is_key=True),
    address("payer"),
    amount("cap"),
    Column("is_live", FLAG, nullable=False),
    natural("thaw_end"),
    sqlite_strict=True,
)
"""A payer's further signer (core.facts.SignerView). A payer's own key has no row and no cap."""

payee_state = Table(
    "payee_state",
    metadata,
    address("payee", is_key=True),
    natural("generation"),
    address("operator"),
    natural("head_generation"),
    sqlite_strict=True,
)
"""A payee's keys (core.facts.PayeeView); generation 0 = take no new work."""

payee_operator = Table(
    "payee_operator",
    metadata,
    address("payee", is_key=True),
    Column("generation", BIGINT, primary_key=True, autoincrement=False),
    address("operator"),
    sqlite_strict=True,
)
"""The operator key of every generation: old lanes are claimed with old keys."""

provider = Table(
    "provider",
    metadata,
    address("provider", is_key=True),
    Column("is_listed", FLAG, nullable=False),
    Column("endpoint", Text, nullable=False),
    octets("offer_hash"),
    amount("stake"),
    amount("unbonding"),
    natural("unbond_end"),
    sqlite_strict=True,
)
"""The registry's entry at the finalised block (core.facts.ProviderView)."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", BIGINT, primary_key=True),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    address("sender"),
    address("to_address"),
    octets("call_data"),
    natural("deadline"),
    Column("state", Text, nullable=False),
    Column("open_key", Text, nullable=True, unique=True),
    natural("version"),
    Column("reason", Text, nullable=False),
    Column("mined_hash", BYTES, nullable=True),
    Column("mined_number", BIGINT, nullable=True),
    Column("mined_block", BYTES, nullable=True),
    Column("gas_used", BIGINT, nullable=True),
    Column("gas_price", BIGINT, nullable=True),
    Column("is_success", FLAG, nullable=True),
    Index("ix_outbox_sender_open_key", "sender", "open_key"),
    sqlite_strict=True,
)
"""A wanted transaction. `open_key` = key while open, else NULL: its uniqueness keeps one open row a key."""

outbox_attempt = Table(
    "outbox_attempt",
    metadata,
    Column("tx_hash", BYTES, primary_key=True),
    Column("outbox_id", BIGINT, ForeignKey("outbox.id"), nullable=False, index=True),
    natural("number"),
    natural("nonce"),
    amount("max_fee"),
    amount("tip"),
    octets("raw"),
    natural("sent_at"),
    sqlite_strict=True,
)
"""A signed form of a wanted transaction, saved before it is sent."""

outbox_claim = Table(
    "outbox_claim",
    metadata,
    Column("outbox_id", BIGINT, ForeignKey("outbox.id"), primary_key=True, autoincrement=False),
    Column("claim_id", BIGINT, ForeignKey("claim.id"), primary_key=True, autoincrement=False, index=True),
    sqlite_strict=True,
)
"""Which claims a transaction carries."""
