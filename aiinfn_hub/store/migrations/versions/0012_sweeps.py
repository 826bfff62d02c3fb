"""Runs that belong together, a point each, and what their code has measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("metrics", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("run", sa.Column("sweep", sa.Text(), nullable=False, server_default=""))
    op.add_column("run", sa.Column("place", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("point", sa.JSON(), nullable=False, server_default="{}"))
    op.create_index("ix_run_sweep", "run", ["sweep"])
    op.create_table(
        "sweep",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at_once", sa.Integer(), nullable=False),
        sa.Column("submitted_at", sa.Double(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_sweep_owner_idempotency_key"),
    )
    op.create_index("ix_sweep_owner_submitted_at", "sweep", ["owner", "submitted_at"])


def downgrade() -> None:
    op.drop_table("sweep")
    op.drop_index("ix_run_sweep", "run")
    with op.batch_alter_table("run") as table:
        table.drop_column("point")
        table.drop_column("place")
        table.drop_column("sweep")
        table.drop_column("metrics")
