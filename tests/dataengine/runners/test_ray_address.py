"""The address of a Ray cluster is tried before Ray itself tries, for minutes and with a page of warnings."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dataengine.runners.ray_address import is_here, reach


@contextmanager
def server(answer: bytes) -> Iterator[str]:
    """Answer whatever one client says."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(64)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_a_server_of_grpc_may_be_a_cluster() -> None:
    with server(b"\0\0\0\4\0\0\0\0\0") as address:
        reach(address)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b""])
def test_another_server_is_none(answer: bytes) -> None:
    with server(answer) as address, pytest.raises(OSError, match="what answers there is no Ray cluster"):
        reach(f"ray://{address}")


def test_a_port_is_a_number() -> None:
    with pytest.raises(ValueError, match="its port is 'head', expected host:port"):
        reach("10.0.0.1:head")


def test_addresses_without_a_port_are_left_to_ray() -> None:
    reach("auto")


def test_this_machine_is_known_by_all_its_names() -> None:
    assert is_here("127.0.0.1")
    assert is_here("localhost")
    assert not is_here("203.0.113.77")
    assert not is_here("nobody.invalid")
