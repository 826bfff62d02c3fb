"""Bodies that become blobs: streamed to the disk in pieces, never held in memory."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.web import stream_request_body

from aiinfn_hub.errors import AiinfnError, InvalidInput, TooLarge
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.offload.blobs import BlobStore, Upload


@stream_request_body
class ReceivingHandler(ApiHandler):
    """Receives a blob, while the method has not run yet; the method calls `received`.

    A refusal is kept until the body has come, because a client that is still writing would not read the answer.
    """

    blobs: BlobStore
    upload: Upload | None = None
    refusal: AiinfnError | None = None

    async def admit(self, *path: str) -> tuple[str, str]:
        """Whose blob it is and its SHA-256; raises what speaks against it."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Check everything that is known before the body."""
        allow(self, 2 * self.blobs.limit)
        length = self.request.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > 2 * self.blobs.limit:
            raise TooLarge(f"A value may have at most {self.blobs.limit // 1024**2} MiB.")  # not even worth draining
        try:
            await self.introduce()
            if self.request.method == "PUT":
                owner, sha256 = await self.admit(*self.path_args)
                self.upload = await asyncio.to_thread(self.blobs.upload, owner, sha256)
        except AiinfnError as error:
            self.refusal = error

    async def introduce(self) -> None:
        """Find out who sends."""
        await super().prepare()

    async def data_received(self, chunk: bytes) -> None:
        """Write a piece; after a refusal, read on and forget."""
        if self.refusal is not None or self.upload is None:
            return
        try:
            await asyncio.to_thread(self.upload.write, chunk)
        except AiinfnError as error:
            self.refusal = error
            await asyncio.to_thread(self.upload.abort)

    async def received(self) -> int:
        """Put the blob in place; its size in bytes.

        Raises:
            AiinfnError: what spoke against it from the beginning, or came up since.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.upload is None:
            raise InvalidInput("There is no body.")
        await asyncio.to_thread(self.upload.commit)
        return self.upload.size

    def on_finish(self) -> None:
        """Leave no half file behind."""
        if self.upload is not None:
            self.upload.abort()

    def on_connection_close(self) -> None:
        """The client left in the middle."""
        super().on_connection_close()
        self.on_finish()


@stream_request_body
class CollectingHandler(ApiHandler):
    """Takes a body that may be larger than the server usually allows, and is answered properly when it is too large.

    A server that cuts the connection would make the other side try the same again for ever.
    """

    most: int
    body: bytes = b""
    refusal: AiinfnError | None = None

    async def prepare(self) -> None:
        """Check everything that is known before the body."""
        self._pieces: list[bytes] = []
        self._size = 0
        allow(self, 2 * self.most)
        try:
            await super().prepare()
        except AiinfnError as error:
            self.refusal = error

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece, as long as all of it may be kept."""
        self._size += len(chunk)
        if self._size <= self.most and self.refusal is None:
            self._pieces.append(chunk)

    def collected(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: it is.
            AiinfnError: what spoke against it before it came.
        """
        if self.refusal is not None:
            raise self.refusal
        if self._size > self.most:
            raise TooLarge(f"At most {self.most // 1024**2} MiB at once.")
        return b"".join(self._pieces)


def allow(handler: ApiHandler, size: int) -> None:
    """Let this request's body be of this size, whatever limit the server has for others."""
    connection: Any = handler.request.connection  # HTTP/1: the interface does not know of limits
    connection.set_max_body_size(size)


async def send_file(handler: ApiHandler, path: Any, name: str) -> None:
    """Answer with a file as an attachment that no browser opens, in pieces."""
    handler.set_header("Content-Type", "application/octet-stream")
    handler.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{name}")
    handler.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
    handler.set_header("Content-Length", str(path.stat().st_size))
    if handler.request.method == "HEAD":
        return
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, 256 * 1024):
            handler.write(piece)
            await handler.flush()
