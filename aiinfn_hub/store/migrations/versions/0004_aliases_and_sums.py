"""Aliases for people, both weights of a slice, and sums by hour, day and month."""

from __future__ import annotations

import secrets
import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_GROUPS = ("activity", "person", "flavour", "kind", "model", "site")
_COUNTS = ("started", "carried", "quarantined")
_SHARES = ("weighted_s", "compute_s", "memory_s")
_MEASURED = ("active_s", "measured_s", "energy_j")
_HELD = ("waited_s", "held_s", "ran_s", "device_s", *_SHARES, "core_s", "byte_s")
_AMOUNTS = (*_HELD, "observed_s", "inferred_s", *_MEASURED)
_WEIGHTS = ("compute_weight", "memory_weight")
_INDEXED = ("held_from", "length_s", "quarantine")


def upgrade() -> None:
    op.create_table(
        "subject",
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_subject")),
        sa.UniqueConstraint("name", name=op.f("uq_subject_name")),
    )
    for name in _WEIGHTS:
        op.add_column("record", sa.Column(name, sa.Double(), nullable=False, server_default="0"))
    for name in ("length_s", *_MEASURED):
        op.add_column("record", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("record", sa.Column("site", sa.Text(), nullable=False, server_default=""))
    for name in _INDEXED:
        op.create_index(op.f(f"ix_record_{name}"), "record", [name])
    op.create_table(
        "rollup",
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _GROUPS),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.Double(), nullable=False) for name in _AMOUNTS),
        sa.PrimaryKeyConstraint("grain", "start", *_GROUPS, name=op.f("pk_rollup")),
    )
    op.create_table(
        "rolled",
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("grain", "start", name=op.f("pk_rolled")),
    )
    connection = op.get_bind()
    # Which of the two weights was the larger is not known of records that are there: both are what was charged.
    connection.execute(
        sa.text("UPDATE record SET compute_weight = weight, memory_weight = weight, length_s = held_to - held_from")
    )
    names = connection.execute(sa.text("SELECT DISTINCT person FROM record")).scalars().all()
    people = [{"alias": f"p-{secrets.token_hex(8)}", "name": name, "since": time.time()} for name in names]
    if people:
        connection.execute(sa.text("INSERT INTO subject (alias, name, since) VALUES (:alias, :name, :since)"), people)
        connection.execute(sa.text("UPDATE record SET person = :alias WHERE person = :name"), people)


def downgrade() -> None:
    names = "(SELECT name FROM subject WHERE alias = record.person)"
    # Of somebody who was erased, only the alias is left.
    op.get_bind().execute(sa.text(f"UPDATE record SET person = coalesce({names}, person)"))  # noqa: S608  a constant
    op.drop_table("rolled")
    op.drop_table("rollup")
    for name in _INDEXED:
        op.drop_index(op.f(f"ix_record_{name}"), "record")
    with op.batch_alter_table("record") as table:
        for name in ("site", "length_s", *_MEASURED, *_WEIGHTS):
            table.drop_column(name)
    op.drop_table("subject")
