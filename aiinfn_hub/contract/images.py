"""What the hub asks of an image before a session starts, and what the service answers."""

from __future__ import annotations

from aiinfn_hub.contract.jobs import Wire


class ImageFound(Wire, frozen=True):
    """An image that exists: `ref` with the digest that runs, `size` in bytes as a node fetches them."""

    ref: str
    size: int
