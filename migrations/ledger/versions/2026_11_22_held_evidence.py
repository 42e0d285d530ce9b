"""Evidence that judges hold for each other, in plain SQL beside this folder (see migrations/render.py)."""

from pathlib import Path

from alembic import op

revision = "2026_11_22_held_evidence"
down_revision = "2026_11_22_canaries"
branch_labels = None
depends_on = None


def upgrade() -> None:
    file = Path(__file__).parent.parent / f"held_evidence.{op.get_bind().dialect.name}.sql"
    op.execute(file.read_text(encoding="utf-8").removesuffix(";\n"))


def downgrade() -> None:
    op.execute("DROP TABLE duel_evidence")
