"""What is reserved, what was refused, for how long a session asked, and what a site calls a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("record", sa.Column("planned_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("record", sa.Column("remote_id", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "reservation",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("person", "server", "activity", "flavour")),
        sa.Column("units", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("weight", "planned_s", "made_at")),
        sa.PrimaryKeyConstraint("person", "server", name=op.f("pk_reservation")),
    )
    op.create_table(
        "refusal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("person", "activity", "flavour", "kind")),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("gpu_hours", sa.Double(), nullable=False),
        sa.Column("quota", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal")),
    )
    op.create_index(op.f("ix_refusal_at"), "refusal", ["at"])


def downgrade() -> None:
    op.drop_table("refusal")
    op.drop_table("reservation")
    with op.batch_alter_table("record") as table:
        for name in ("remote_id", "planned_s"):
            table.drop_column(name)
