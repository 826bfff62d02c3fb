"""When a job was let into the queue: before, it waits for units of its quota."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("placed_at", sa.Double()))
    op.execute("UPDATE run SET placed_at = submitted_at")


def downgrade() -> None:
    with op.batch_alter_table("run") as table:
        table.drop_column("placed_at")
