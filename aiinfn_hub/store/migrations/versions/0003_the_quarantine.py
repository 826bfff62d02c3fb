"""Why a record counts nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record", sa.Column("quarantine", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("record") as table:
        table.drop_column("quarantine")
