"""Images, looked up before a session starts: the policy first, then the registry, and for some time nobody again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.images import ImageFound
from aiinfn_hub.environments.registry import Found, Registries
from aiinfn_hub.errors import Forbidden
from aiinfn_hub.identity.web import ApiHandler

#: Seconds that an answer is used again; who pushes an image and starts a session gets the new one after so long.
KEEP_S = 30.0


class Images:
    """Those that a session may have."""

    def __init__(
        self, platform: Platform, registries: Registries, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._platform = platform
        self._registries = registries
        self._clock = clock
        self._known: dict[str, tuple[float, Found]] = {}

    async def find(self, ref: str) -> Found:
        """The image by its digest.

        Raises:
            InvalidInput: it is not in the list, nor allowed by the policy; or not made for our nodes.
            NotFound: its registry has none.
            Unavailable: its registry does not answer.
            RemoteFailed: its registry answers what we cannot use.
        """
        if ref not in {image.ref for image in self._platform.images}:
            ref = self._platform.image_policy.check(ref)
        now = self._clock()
        self._known = {key: entry for key, entry in self._known.items() if now - entry[0] < KEEP_S}
        if ref not in self._known:
            self._known[ref] = (now, await self._registries.find(ref))
        return self._known[ref][1]


class ImageHandler(ApiHandler):
    """GET: does this image exist, and which one is it now. For the hub alone: it asks hosts by name."""

    def initialize(self, images: Images) -> None:
        """Given by `routes`."""
        self.images = images

    async def get(self) -> None:
        """Query: ref.

        Raises:
            Forbidden: somebody else asks.
        """
        if not self.caller.hub:
            raise Forbidden("Only the hub looks images up.", hint="Start a session, and it does.")
        found = await self.images.find(self.argument("ref", "", str))
        self.send(ImageFound(found.ref, found.size))


def routes(prefix: str, *, images: Images) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """The route below `prefix`."""
    return [(rf"{prefix}/api/image", ImageHandler, {"images": images})]
