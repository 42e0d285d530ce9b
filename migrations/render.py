"""Writes the SQL of the revisions from the ledger's tables, one file a revision and database. Frozen once released.

Plain SQL on purpose: an auditor reads the schema, with every CHECK, without running anything.
"""

from pathlib import Path

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from node.adapters.ledger import chain_tables, duel_tables, tables, views

HOME = Path(__file__).parent / "ledger"
assert chain_tables.outbox.metadata is tables.metadata is duel_tables.duel_case.metadata


LATER: dict[str, frozenset[str]] = {
    "draws": frozenset({"draw"}),
    "duel_view": frozenset(),
    "duels": frozenset({"duel_case", "duel_vote", "duel_seed"}),
    "canaries": frozenset({"duel_canary"}),
    "held_evidence": frozenset({"duel_evidence"}),
}
"""The tables of each revision after the first, in their order."""


def statements(dialect: Dialect, revision: str = "initial") -> list[str]:
    """CREATE TABLE, INDEX and VIEW in the order of their references."""
    out: list[str] = []
    for table in tables.metadata.sorted_tables:
        if revision != next((later for later, names in LATER.items() if table.name in names), "initial"):
            continue
        out.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        out.extend(str(CreateIndex(index).compile(dialect=dialect)).strip() for index in indexes)
    made = {"initial": views.CHARGE, "duel_view": views.DUEL[dialect.name]}
    return [*out, made[revision]] if revision in made else out


def main() -> None:
    """Write all files."""
    for revision in ("initial", *LATER):
        for dialect in (sqlite.dialect(), postgresql.dialect()):
            text = ";\n\n".join(line.replace("\t", "    ") for line in statements(dialect, revision))
            (HOME / f"{revision}.{dialect.name}.sql").write_text(text.replace(" \n", "\n") + ";\n")


if __name__ == "__main__":
    main()
