"""Every table of the service beside the ledger's, as alembic made them.

Times are Unix seconds (UTC) in double precision, sizes bytes, CPU millicores.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from aiinfn_hub.store import ledger_tables

#: Of all tables, those of the ledger too.
metadata = ledger_tables.metadata

#: A job that a person asked for: the truth of the offload room.
run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("activity", Text, nullable=False),
    Column("activity_reason", Text, nullable=False, default=""),
    Column("request", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("target", Text, nullable=False),
    Column("flavour", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("queue", Text, nullable=False),
    Column("image", Text, nullable=False, default=""),
    Column("job_name", Text, nullable=False, default=""),
    Column("job_uid", Text, nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=1),
    Column("submitted_at", Double, nullable=False),
    Column("placed_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("exit_code", Integer),
    Column("verdict", Text, nullable=False, default=""),
    Column("missing", JSON, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("capability_hash", Text, nullable=False, default=""),
    Column("capability_expires_at", Double),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("frames", Integer, nullable=False, default=0),
    Column("frame_bytes", BigInteger, nullable=False, default=0),
    Column("updated_at", Double, nullable=False),
    Column("digest", Text, nullable=False, default="", server_default=""),
    Column("memory", BigInteger),
    Column("checkpointed_at", Double),
    Column("metrics", JSON, nullable=False, default=dict, server_default="{}"),
    Column("sweep", Text, nullable=False, default="", server_default=""),
    Column("place", Integer, nullable=False, default=0, server_default="0"),
    Column("point", JSON, nullable=False, default=dict, server_default="{}"),
    UniqueConstraint("owner", "idempotency_key"),
    Index(None, "owner", "submitted_at"),
    Index(None, "state"),
    Index(None, "sweep"),
)

#: A run for each of many points: `place` of a run is that of its point, the latest run of a place counts.
sweep = Table(
    "sweep",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("at_once", Integer, nullable=False),
    Column("submitted_at", Double, nullable=False),
    Column("digest", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    UniqueConstraint("owner", "idempotency_key"),
    Index(None, "owner", "submitted_at"),
)

#: One pod of a run. Its token dies with it, so that a late first attempt cannot write over the second.
attempt = Table(
    "attempt",
    metadata,
    Column("run_id", Text, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("pod_uid", Text, nullable=False, unique=True),
    Column("token_hash", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("ended_at", Double),
    Column("end_reason", Text, nullable=False, default=""),
)

#: What an attempt has kept of its work, complete; `pieces` are {"sha256", "size"} of the owner's, in their order.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("run_id", Text, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("pieces", JSON, nullable=False),
)

#: An output of a run, as nbformat writes it; `seq` is the order that everybody sees.
frame = Table(
    "frame",
    metadata,
    Column("run_id", Text, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("attempt_seq", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    UniqueConstraint("run_id", "attempt", "attempt_seq"),
)

#: A value that a run returned; its bytes are the owner's blob of that hash.
result = Table(
    "result",
    metadata,
    Column("run_id", Text, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("codec", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("summary", Text, nullable=False, default=""),
)

#: Bytes by content; the name space is the person, so that a hash tells nobody what somebody else has.
blob = Table(
    "blob",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used", Double, nullable=False),
)

#: Who did what to whom, append-only; the hub's acts come with the identifier that it gave them.
audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("what", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("facts", JSON, nullable=False),
    Index(None, "at"),
    Index(None, "about", "at"),
    Index(None, "actor", "at"),
)

#: A session that is to end because its person lost the right to it; gone with the session.
drain = Table(
    "drain",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("activity", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("next_step", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("due", Double, nullable=False),
)
