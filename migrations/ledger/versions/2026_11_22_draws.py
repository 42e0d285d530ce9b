"""Draws and their reasons, in plain SQL beside this folder (see migrations/render.py)."""

from pathlib import Path

from alembic import op

revision = "2026_11_22"
down_revision = "2026_11_21"
branch_labels = None
depends_on = None


def upgrade() -> None:
    file = Path(__file__).parent.parent / f"draws.{op.get_bind().dialect.name}.sql"
    for statement in file.read_text(encoding="utf-8").split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE draw")
