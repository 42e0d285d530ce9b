"""A request id is unique within payer, payee and lane: a duel buys one id twice. Plain SQL beside this folder."""

from pathlib import Path

from alembic import op

revision = "2026_11_22_twins"
down_revision = "2026_11_22_answers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    file = Path(__file__).parent.parent / "twins.sqlite.sql"
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    raise NotImplementedError("twins of one id cannot be told apart by the older schema")
