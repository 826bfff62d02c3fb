"""Before a session starts: the quotas are asked, and what it may use is reserved."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

import msgspec

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.reservation import Reservation, ReservationRequest
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.hub.session_objects import waiting_flavours
from aiinfn_hub.sessions.options import SessionSpec, check_held

Log: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]
#: Seconds that a start waits for the answer; a form waits for less, but a start is worth it.
DEADLINE_S = 5.0


async def may_start(spawner: Any, platform: Platform, spec: SessionSpec) -> int:
    """Let a session start, or say why not; for how many seconds, at most what was asked for.

    Raises:
        QuotaExceeded: the person has too many sessions, or no quota has room; the sentence says when again.
        Unavailable: nobody can be asked, and the platform file says that nothing starts then.
    """
    check_held(spec, _other_flavours(spawner))
    granted = await _reserve(spawner.service, platform, spec, spawner.name, spawner.log)
    if granted.sentence:
        spawner.log.info("The session of %s will be shorter than it asked for: %s", spawner.user.name, granted.sentence)
    return min(spec.lifetime_s, int(granted.seconds))


def _other_flavours(spawner: Any) -> list[str]:
    """Of the person's other sessions: those that the hub knows, and those that wait in the queue."""
    active = [other for other in spawner.user.spawners.values() if other.active]
    held = waiting_flavours(spawner.pod_reflector.pods if spawner.pod_reflector else {}, spawner.user.name)
    held |= {other.pod_name: str(other.user_options.get("flavour", "")) for other in active}
    return [flavour for name, flavour in held.items() if name != spawner.pod_name]


async def _reserve(service: AtService, platform: Platform, spec: SessionSpec, server: str, log: Log) -> Reservation:
    """For how long it may run, and why for less than it asked.

    Without a service there is nobody who counts. With one that does not answer, the platform file says what holds.
    """
    everything = Reservation(float(spec.lifetime_s))
    if not service.service_url:
        return everything
    wanted = ReservationRequest(server, spec.activity.name, spec.flavour.name, spec.lifetime_s)
    try:
        answer = await service.ask("reservations", deadline_s=DEADLINE_S, body=msgspec.json.encode(wanted))
        return msgspec.json.decode(answer, type=Reservation)
    except (Unavailable, msgspec.MsgspecError) as error:
        if platform.quotas.unreachable == "closed":
            raise Unavailable(
                "Nobody can say now whether your quota has room for it, and sessions do not start without that.",
                hint="Try again in a minute; the operators see that the service does not answer.",
            ) from error
        log.warning("The quotas were not asked: %s", error)
        return everything
