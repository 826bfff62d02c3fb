"""An object store with STS on loopback: moto's server, which gives keys for any token that it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


@contextmanager
def running_store() -> Iterator[tuple[str, Any]]:
    """Its address, and a client of S3 that may do everything."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        key: dict[str, Any] = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        yield url, boto3.client("s3", endpoint_url=url, region_name="us-east-1", **key)
    finally:
        server.stop()
