"""The executors' signed answers beside their receipts, in plain SQL beside this folder."""

from pathlib import Path

from alembic import op

revision = "2026_11_22_answers"
down_revision = "2026_11_21_wallet"
branch_labels = None
depends_on = None


def upgrade() -> None:
    file = Path(__file__).parent.parent / "answers.sqlite.sql"
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.execute("DROP TABLE answer")
