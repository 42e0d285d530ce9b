"""This node's part in duels: cases, votes, seeds, in plain SQL beside this folder (see migrations/render.py)."""

from pathlib import Path

from alembic import op

revision = "2026_11_22_duels"
down_revision = "2026_11_22_duel_view"
branch_labels = None
depends_on = None


def upgrade() -> None:
    file = Path(__file__).parent.parent / f"duels.{op.get_bind().dialect.name}.sql"
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("duel_case", "duel_vote", "duel_seed"):
        op.execute(f"DROP TABLE {table}")
