"""The image of a session that is about to start: it exists, and the digest that was found is the one that runs."""

from __future__ import annotations

import logging
from typing import TypeAlias
from urllib.parse import urlencode

import msgspec

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.images import ImageFound
from aiinfn_hub.errors import InvalidInput, NotFound, Unavailable
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.sessions.options import SessionSpec

Log: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]
#: Seconds that a start waits; the service gives a registry a little less (`environments.registry.DEADLINE_S`).
DEADLINE_S = 10.0


async def settled(service: AtService, platform: Platform, spec: SessionSpec, log: Log) -> str:
    """The reference that the pod gets.

    What no registry can be asked about starts as it is: the node fetches it, and may have it already.

    Raises:
        NotFound: there is no such image.
        InvalidInput: it is not made for our nodes.
    """
    if not platform.image_policy.look_up or not service.service_url or "@" in spec.image:
        return spec.image
    path = f"image?{urlencode({'ref': spec.image})}"
    try:
        answer = await service.ask(path, deadline_s=DEADLINE_S, passed=(400, 404))
        return msgspec.json.decode(answer, type=ImageFound).ref
    except (NotFound, InvalidInput) as error:
        raise type(error)(
            f"Environment: {error.message}", hint=error.hint, details={"option": "environment", "value": spec.image}
        ) from error
    except (Unavailable, msgspec.MsgspecError) as error:
        log.warning("The image %s was not looked up: %s", spec.image, error)
        return spec.image
