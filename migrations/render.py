"""Writes the SQL of the first revision from the ledger's tables, one file a database. Frozen after the first release.

Plain SQL on purpose: an auditor reads the schema, with every CHECK, without running anything.
"""

from pathlib import Path

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from node.adapters.ledger import chain_tables, tables, views

HOME = Path(__file__).parent / "ledger"
assert chain_tables.outbox.metadata is tables.metadata


def statements(dialect: Dialect) -> list[str]:
    """CREATE TABLE, INDEX and VIEW in the order of their references."""
    out = []
    for table in tables.metadata.sorted_tables:
        out.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        out.extend(str(CreateIndex(index).compile(dialect=dialect)).strip() for index in indexes)
    return [*out, views.CHARGE]


def main() -> None:
    """Write both files."""
    for dialect in (sqlite.dialect(), postgresql.dialect()):
        text = ";\n\n".join(line.replace("\t", "    ") for line in statements(dialect))
        (HOME / f"initial.{dialect.name}.sql").write_text(text.replace(" \n", "\n") + ";\n")


if __name__ == "__main__":
    main()
