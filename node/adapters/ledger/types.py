"""Column types that mean the same on SQLite and PostgreSQL, above all exact unsigned 128-bit amounts. No tables.

An amount is NUMERIC(39, 0) on PostgreSQL and 39 zero-padded digits of TEXT on SQLite, where INTEGER ends at 2^63 and
NUMERIC is a float. Padded text compares, sorts and takes MIN/MAX like the number. `exact_sum` adds it up
exactly on both; in the sqlite3 shell `decimal_sum(amount)` does the same.
"""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, Function, Integer, LargeBinary, Numeric, Text, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.types import Boolean

DIGITS = 39
"""2^128 - 1 has 39 decimal digits."""
_U128_MAX = 2**128 - 1
_LIMB = 10
"""Digits a limb of a SQLite sum: 2^63 / 10^10 = 922 million rows before a limb overflows (which is then an error)."""

BIGINT = BigInteger().with_variant(Integer(), "sqlite")
"""A signed 64-bit integer (a STRICT table of SQLite knows it as INTEGER)."""
FLAG = Integer()
"""0 or 1."""
BYTES = LargeBinary()


def to_text(amount: int) -> str:
    """An amount as SQLite keeps it. Raises OverflowError outside 0 .. 2^128 - 1."""
    if not 0 <= amount <= _U128_MAX:
        raise OverflowError(amount)
    return f"{amount:039d}"


class U128(TypeDecorator[int]):
    """An exact amount in base units, 0 .. 2^128 - 1."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TEXT on SQLite, NUMERIC elsewhere."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric(DIGITS, 0))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:  # noqa: ANN401 -- what the driver takes
        """To the database."""
        if value is None:
            return None
        text = to_text(value)
        return text if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ANN401, ARG002 -- text or Decimal
        """From the database."""
        return None if value is None else int(value)


class IsU128(ColumnElement[bool]):
    """The CHECK of an amount column."""

    inherit_cache = True
    type = Boolean()

    def __init__(self, name: str) -> None:
        self.name = name


@compiles(IsU128)
def _check_numeric(element: IsU128, _compiler: SQLCompiler, **_: object) -> str:
    return f"{element.name} >= 0 AND {element.name} < 340282366920938463463374607431768211456"


@compiles(IsU128, "sqlite")
def _check_text(element: IsU128, _compiler: SQLCompiler, **_: object) -> str:
    name = element.name
    return f"length({name}) = 39 AND {name} BETWEEN '{'0' * DIGITS}' AND '{_U128_MAX}'"


class SumType(TypeDecorator[int]):
    """The result of `exact_sum`: one number, or SQLite's four limb sums to put together."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ANN401, ARG002 -- text or Decimal
        """The exact sum as an int of any size."""
        if value is None or not isinstance(value, str):
            return None if value is None else int(value)
        total = 0
        for limb in value.split(":"):
            total = total * 10**_LIMB + int(limb)
        return total


class exact_sum(Function[int]):  # noqa: N801 -- reads as the SQL function it stands for
    """SUM of a U128 column as an exact int on both databases; 0 of no rows."""

    inherit_cache = True
    name = "exact_sum"
    type = SumType()

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__("exact_sum", column, type_=SumType())


@compiles(exact_sum)
def _sum_numeric(element: exact_sum, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 -- compiler's own
    return f"coalesce(sum({compiler.process(element.clauses, **kw)}), 0)"


@compiles(exact_sum, "sqlite")
def _sum_limbs(element: exact_sum, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 -- compiler's own
    column = compiler.process(element.clauses, **kw)
    limbs = ((1, 9), (10, _LIMB), (20, _LIMB), (30, _LIMB))
    sums = (f"coalesce(sum(CAST(substr({column}, {start}, {size}) AS INTEGER)), 0)" for start, size in limbs)
    return "(" + " || ':' || ".join(sums) + ")"
