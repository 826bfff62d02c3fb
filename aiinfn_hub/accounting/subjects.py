"""Who is meant by an alias. The ledger counts aliases; a name is one row, and erasing somebody takes that name away."""

from __future__ import annotations

import secrets
from collections.abc import Collection

import sqlalchemy as sa

from aiinfn_hub.errors import NotFound
from aiinfn_hub.store.engine import among, insert
from aiinfn_hub.store.ledger_tables import observation, record, reservation, subject

#: Who a row is about, to be read by people: the name, or the alias of somebody who was erased.
NAME = sa.func.coalesce(subject.c.name, subject.c.alias)


def aliases(connection: sa.Connection, names: Collection[str], *, now: float) -> dict[str, str]:
    """The alias of each name; somebody new gets one. An alias that is given for a name stands for itself."""
    known = _known(connection, subject.c.name, names)
    if len(known) < len(set(names)):
        known |= _known(connection, subject.c.alias, set(names) - known.keys())
    if missing := set(names) - known.keys():
        rows = [{"alias": f"p-{secrets.token_hex(8)}", "name": name, "since": now} for name in sorted(missing)]
        connection.execute(insert(connection, subject).on_conflict_do_nothing(), rows)
        known |= _known(connection, subject.c.name, missing)
    return known


def _known(connection: sa.Connection, column: sa.Column[str], values: Collection[str]) -> dict[str, str]:
    query = sa.select(column.label("given"), subject.c.alias).where(among(connection, column, values))
    return {row.given: row.alias for row in connection.execute(query)}


def alias_of(person: str) -> sa.ScalarSelect[str]:
    """The alias of somebody who may be given by name or by alias, as a value for a query."""
    return (
        sa.select(subject.c.alias).where(sa.or_(subject.c.name == person, subject.c.alias == person)).scalar_subquery()
    )


def erase(connection: sa.Connection, name: str) -> str:
    """Forget who this was: the name, and what else in the ledger says it. Every sum stays; the alias is returned.

    Who comes back later is somebody new.

    Raises:
        NotFound: the ledger knows nobody of this name.
    """
    alias = connection.execute(sa.select(subject.c.alias).where(subject.c.name == name)).scalar()
    if alias is None:
        raise NotFound(f"The ledger knows nobody named {name!r}.", hint="aiinfn accounting report --by person has all.")
    pods = sa.select(record.c.pod_uid).where(record.c.person == alias)
    blank = {"pod_name": "", "server": ""}
    seen = sa.select(observation.c.id, observation.c.payload).where(observation.c.pod_uid.in_(pods))
    for row in connection.execute(seen).all():
        if row.payload["facts"]:
            payload = row.payload | {"facts": row.payload["facts"] | blank | {"person": alias}}
            connection.execute(sa.update(observation).where(observation.c.id == row.id).values(payload=payload))
    connection.execute(sa.update(record).where(record.c.person == alias).values(blank))
    connection.execute(sa.delete(reservation).where(reservation.c.person == name))
    connection.execute(sa.update(subject).where(subject.c.alias == alias).values(name=None))
    return str(alias)
