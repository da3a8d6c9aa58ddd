"""A server on this machine that speaks S3 and starts empty."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dataengine import storage


@contextmanager
def served_s3() -> Iterator[tuple[str, int]]:
    """Serve on a free port; give host and port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        # All servers of a process share moto's one memory: what an earlier one held would be there.
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        yield host, port
    finally:
        server.stop()


@contextmanager
def as_s3(address: str) -> Iterator[None]:
    """Let every client of this process and of those that it starts speak to a server."""
    environment = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ALLOW_HTTP": "true", "AWS_ENDPOINT_URL": address}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        storage._connect.cache_clear()  # else a client of the server before
        try:
            yield
        finally:
            storage._connect.cache_clear()
