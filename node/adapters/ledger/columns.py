"""The metadata of the ledger's tables and the columns they share, each with the CHECK that its kind deserves."""

from sqlalchemy import CheckConstraint, Column, MetaData

from node.adapters.ledger.types import BIGINT, BYTES, U128, IsU128

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def amount(name: str) -> Column[int]:
    """Base units, 0 .. 2^128 - 1."""
    return Column(name, U128, CheckConstraint(IsU128(name), name=name), nullable=False)


def address(name: str, *, is_key: bool = False) -> Column[bytes]:
    """20 bytes."""
    check = CheckConstraint(f"length({name}) = 20", name=name)
    return Column(name, BYTES, check, primary_key=is_key, nullable=False)


def octets(name: str) -> Column[bytes]:
    """A hash or other bytes."""
    return Column(name, BYTES, nullable=False)


def natural(name: str) -> Column[int]:
    """An integer >= 0: a count, a time, a number."""
    return Column(name, BIGINT, CheckConstraint(f"{name} >= 0", name=name), nullable=False)
