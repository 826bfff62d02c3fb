"""The tables of the ledger: what was seen, what follows from it, and what is counted ahead.

Times are Unix seconds (UTC) in double precision, sizes bytes, CPU millicores.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

#: Stable names for constraints, so that a migration can drop one on either database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: What was seen of a pod, append-only; the natural key makes a replayed watch harmless.
observation = Table(
    "observation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("pod_uid", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("resource_version", Text, nullable=False),
    Column("observed_at", Double, nullable=False),
    Column("payload", JSON, nullable=False),
    UniqueConstraint("source", "pod_uid", "kind", "resource_version"),
    Index(None, "pod_uid", "observed_at"),
)

#: Who is meant by the alias in the ledger. Erasing somebody takes the name away; every sum stays what it was.
subject = Table(
    "subject",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("name", Text, unique=True),
    Column("since", Double, nullable=False),
)

#: One session or one attempt of a job: what it held, from when to when, and how that is known; from observations.
#: `person` is an alias of table `subject`. Of the seconds of its devices, `measured_s` were measured and `active_s` of
#: these did something; NULL for what nobody has asked or measured.
record = Table(
    "record",
    metadata,
    Column("pod_uid", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("activity", Text, nullable=False),
    Column("activity_reason", Text, nullable=False, default=""),
    Column("flavour", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("weight", Double, nullable=False),
    Column("compute_weight", Double, nullable=False, default=0.0, server_default="0"),
    Column("memory_weight", Double, nullable=False, default=0.0, server_default="0"),
    Column("resource", Text, nullable=False, default=""),
    Column("model", Text, nullable=False, default=""),
    Column("cpu_millis", Integer, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("storage_bytes", BigInteger, nullable=False, default=0, server_default="0"),
    Column("namespace", Text, nullable=False),
    Column("pod_name", Text, nullable=False),
    Column("node", Text, nullable=False, default=""),
    Column("site", Text, nullable=False, default="", server_default=""),
    Column("server", Text, nullable=False, default=""),
    Column("run_id", Text, nullable=False, default=""),
    Column("remote_id", Text, nullable=False, default="", server_default=""),
    Column("planned_s", Double, nullable=False, default=0.0, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("held_from", Double),
    Column("ran_from", Double),
    Column("ran_to", Double),
    Column("held_to", Double),
    Column("length_s", Double),
    Column("last_seen", Double, nullable=False),
    Column("end_source", Text, nullable=False, default=""),
    Column("uncertainty_s", Double, nullable=False, default=0.0),
    Column("active_s", Double),
    Column("measured_s", Double),
    Column("energy_j", Double),
    Column("exit_code", Integer),
    Column("quarantine", Text, nullable=False, default="", server_default=""),
    Index(None, "person", "held_from"),
    Index(None, "activity", "held_from"),
    Index(None, "held_from"),
    Index(None, "held_to"),
    Index(None, "length_s"),
    Index(None, "run_id"),
    Index(None, "quarantine"),
)

#: By what a sum can be asked for, and what is summed: seconds, times units, weights, cores or bytes.
#: `started` are records that began in the period, `carried` those that were held at its begin already.
GROUPS = ("activity", "person", "flavour", "kind", "model", "site")
COUNTS = ("started", "carried", "quarantined")
AMOUNTS = (
    "waited_s",
    "held_s",
    "ran_s",
    "device_s",
    "weighted_s",
    "compute_s",
    "memory_s",
    "core_s",
    "byte_s",
    "storage_byte_s",
    "observed_s",
    "inferred_s",
    "active_s",
    "measured_s",
    "energy_j",
)

#: Sums over an hour, a day or a month of UTC; derived from records, and only to be believed if `rolled` has the period.
rollup = Table(
    "rollup",
    metadata,
    Column("grain", Text, primary_key=True),
    Column("start", Double, primary_key=True),
    *(Column(name, Text, primary_key=True) for name in GROUPS),
    *(Column(name, Integer, nullable=False) for name in COUNTS),
    *(Column(name, Double, nullable=False) for name in AMOUNTS),
)

#: The periods whose sums are in `rollup`. A record that changes takes out those that it touches.
rolled = Table(
    "rolled",
    metadata,
    Column("grain", Text, primary_key=True),
    Column("start", Double, primary_key=True),
    Column("until", Double, nullable=False),
)

#: A month that is closed: its sums in `rollup` stay as they are. `sha256` is over them and over the hash of the month
#: that was closed before, so that nobody changes one of them unseen. `signer` is a public key, as OpenSSH writes it.
month = Table(
    "month",
    metadata,
    Column("start", Double, primary_key=True),
    Column("until", Double, nullable=False),
    Column("closed_at", Double, nullable=False),
    Column("closed_by", Text, nullable=False),
    Column("sums", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("signer", Text, nullable=False, server_default=""),
    Column("signature", Text, nullable=False, server_default=""),
)

#: What is added to a closed month, or with a minus taken from it; append-only, and chained as months are. `source` is
#: "records" for what they say by now, "typed" for what somebody knows better.
correction = Table(
    "correction",
    metadata,
    Column("month", Double, ForeignKey("month.start"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("made_at", Double, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    *(Column(name, Text, nullable=False) for name in GROUPS),
    *(Column(name, Integer, nullable=False) for name in COUNTS),
    *(Column(name, Double, nullable=False) for name in AMOUNTS),
    Column("sha256", Text, nullable=False),
    Column("signer", Text, nullable=False, server_default=""),
    Column("signature", Text, nullable=False, server_default=""),
)

#: What a session that is about to start may use, until the ledger sees it: two tabs cannot spend the same hour.
reservation = Table(
    "reservation",
    metadata,
    Column("person", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("activity", Text, nullable=False),
    Column("flavour", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("weight", Double, nullable=False),
    Column("planned_s", Double, nullable=False),
    Column("made_at", Double, nullable=False),
)

#: By how much the session of a pod was extended beyond what it asked for, and when last.
extension = Table(
    "extension",
    metadata,
    Column("pod_uid", Text, primary_key=True),
    Column("seconds", Double, nullable=False),
    Column("at", Double, nullable=False),
)

#: What was asked for and not given, append-only: demand that no record shows. `person` is an alias.
refusal = Table(
    "refusal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("person", Text, nullable=False),
    Column("activity", Text, nullable=False),
    Column("flavour", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("gpu_hours", Double, nullable=False),
    Column("quota", Text, nullable=False),
    Index(None, "at"),
)
