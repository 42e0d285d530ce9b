"""The wallet's first schema, in plain SQL beside this folder."""

from pathlib import Path

from alembic import op

revision = "2026_11_21_wallet"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ["cursor", "settlement", "finding", "receipt", "purchase", "spend", "stopped", "purse"]


def upgrade() -> None:
    file = Path(__file__).parent.parent / "initial.sqlite.sql"
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
