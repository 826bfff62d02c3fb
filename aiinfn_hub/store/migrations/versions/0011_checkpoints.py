"""What runs keep of their work, the memory that they had, and what a run was at its submission."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("digest", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("memory", sa.BigInteger()))
    op.add_column("run", sa.Column("checkpointed_at", sa.Double()))
    op.create_table(
        "checkpoint",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("pieces", sa.JSON(), nullable=False),
    )
    op.create_index("ix_checkpoint_owner", "checkpoint", ["owner"])


def downgrade() -> None:
    op.drop_table("checkpoint")
    with op.batch_alter_table("run") as table:
        table.drop_column("checkpointed_at")
        table.drop_column("memory")
        table.drop_column("digest")
