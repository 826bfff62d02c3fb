"""Storage that is a pod's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record", sa.Column("storage_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    for table in ("rollup", "correction"):
        op.add_column(table, sa.Column("storage_byte_s", sa.Double(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name, column in (("correction", "storage_byte_s"), ("rollup", "storage_byte_s"), ("record", "storage_bytes")):
        with op.batch_alter_table(name) as table:
            table.drop_column(column)
