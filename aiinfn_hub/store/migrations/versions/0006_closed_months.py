"""Closed months, and what is corrected in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_GROUPS = ("activity", "person", "flavour", "kind", "model", "site")
_COUNTS = ("started", "carried", "quarantined")
_SHARES = ("weighted_s", "compute_s", "memory_s")
_MEASURED = ("active_s", "measured_s", "energy_j")
_HELD = ("waited_s", "held_s", "ran_s", "device_s", *_SHARES, "core_s", "byte_s")
_AMOUNTS = (*_HELD, "observed_s", "inferred_s", *_MEASURED)


def upgrade() -> None:
    op.create_table(
        "month",
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("start", "until", "closed_at")),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.Column("sums", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("start", name=op.f("pk_month")),
    )
    op.create_table(
        "correction",
        sa.Column("month", sa.Double(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("made_by", "source", "reason", *_GROUPS)),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.Double(), nullable=False) for name in _AMOUNTS),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["month"], ["month.start"], name=op.f("fk_correction_month_month")),
        sa.PrimaryKeyConstraint("month", "revision", name=op.f("pk_correction")),
    )


def downgrade() -> None:
    op.drop_table("correction")
    op.drop_table("month")
