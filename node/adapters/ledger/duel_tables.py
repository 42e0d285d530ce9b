"""The tables of a node's own part in duels: what it dispatches, holds, votes and committed to."""

from sqlalchemy import CheckConstraint, Column, Integer, Table, Text

from node.adapters.ledger.columns import amount, metadata, natural, octets
from node.adapters.ledger.types import BIGINT, BYTES

duel_case = Table(
    "duel_case",
    metadata,
    Column("duel_id", BYTES, CheckConstraint("length(duel_id) = 32", name="duel_id"), primary_key=True),
    Column("epoch", BIGINT, nullable=False),
    Column("attempt", Integer, nullable=False),
    amount("fee"),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("evidence", BYTES, nullable=False),
    natural("made_at"),
    sqlite_strict=True,
)
"""Duels that this node dispatches, with the evidence for their judges; a row goes when its duel is over."""

duel_evidence = Table(
    "duel_evidence",
    metadata,
    Column("duel_id", BYTES, CheckConstraint("length(duel_id) = 32", name="duel_id"), primary_key=True),
    Column("evidence", BYTES, nullable=False),
    natural("kept_at"),
    sqlite_strict=True,
)
"""Evidence that this node has as a judge, for the duel's other judges; a row goes when its duel is over."""

duel_vote = Table(
    "duel_vote",
    metadata,
    Column("duel_id", BYTES, CheckConstraint("length(duel_id) = 32", name="duel_id"), primary_key=True),
    Column("seat", Integer, primary_key=True, autoincrement=False),
    Column("vote", Integer, CheckConstraint("vote BETWEEN 1 AND 4", name="vote"), nullable=False),
    octets("salt"),
    Column("rationale", Text, nullable=False),
    sqlite_strict=True,
)
"""This node's votes, kept before their commitments are sent."""

duel_seed = Table(
    "duel_seed",
    metadata,
    Column("epoch", BIGINT, primary_key=True, autoincrement=False),
    octets("seed"),
    sqlite_strict=True,
)
"""This node's sampling seeds, kept before they are committed to: an unrevealed one is slashed."""

duel_canary = Table(
    "duel_canary",
    metadata,
    Column("duel_id", BYTES, CheckConstraint("length(duel_id) = 32", name="duel_id"), primary_key=True),
    Column("verdict", Integer, CheckConstraint("verdict BETWEEN 1 AND 2", name="verdict"), nullable=False),
    sqlite_strict=True,
)
"""Duels of this node's whose right verdict it knows: judges' votes are compared with it once the end is final."""
