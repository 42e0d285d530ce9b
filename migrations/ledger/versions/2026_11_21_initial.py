"""The ledger's first schema, in plain SQL beside this folder (see migrations/render.py)."""

from pathlib import Path

from alembic import op

revision = "2026_11_21"
down_revision = None
branch_labels = None
depends_on = None

TABLES = [
    "outbox_claim",
    "outbox_attempt",
    "outbox",
    "provider",
    "payee_operator",
    "payee_state",
    "signer",
    "chain_cursor",
    "chain_event",
    "chain_block",
    "claim",
    "offer",
    "receipt_signature",
    "receipt",
    "reservation",
    "voucher",
    "agreement",
    "lease",
    "account",
    "lane",
    "pair",
]


def upgrade() -> None:
    file = Path(__file__).parent.parent / f"initial.{op.get_bind().dialect.name}.sql"
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement.replace("%", "%%") if _is_formatted() else statement)


def _is_formatted() -> bool:
    return op.get_bind().dialect.paramstyle in ("pyformat", "format")


def downgrade() -> None:
    op.execute("DROP VIEW charge")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
