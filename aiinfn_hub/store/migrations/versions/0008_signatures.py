"""Who signed a closed month, and each of its corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("month", "correction"):
        for name in ("signer", "signature"):
            op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    for name in ("month", "correction"):
        with op.batch_alter_table(name) as table:
            table.drop_column("signature")
            table.drop_column("signer")
