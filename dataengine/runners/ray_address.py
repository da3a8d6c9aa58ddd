"""The address of a Ray cluster: whether one answers there, before Ray itself tries for minutes."""

import os
import socket

CONNECT_S = 10.0
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How an HTTP/2 client, hence one of gRPC, begins: a preface and a frame of no settings (RFC 9113, 3.4)."""
SETTINGS = 4
"""Type of the frame that a server answers with; the type is its fourth byte."""


def host_of(address: str) -> str | None:
    """Give the host of `host:port` or `ray://host:port`; None for addresses of other kinds, such as `auto`."""
    return address.removeprefix("ray://").rpartition(":")[0] or None


def reach(address: str) -> None:
    """Raise OSError or ValueError where nothing that speaks as Ray does answers at `host:port` within seconds."""
    host = host_of(address)
    if host is None:
        return
    port = address.rpartition(":")[2]
    if not port.isdigit():
        raise ValueError(f"its port is '{port}', expected host:port, such as 10.0.0.1:6379")
    with socket.create_connection((host, int(port)), timeout=CONNECT_S) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(GREETING)
        try:
            answer = connection.recv(4)
        except TimeoutError:
            answer = b""
    if answer[3:] != bytes([SETTINGS]):
        raise OSError("what answers there is no Ray cluster; its port is that of `ray start`, 6379 by default")


def is_here(host: str) -> bool:
    """Tell whether a host is this machine: its own addresses are the ones that a server can bind to."""
    try:
        for family, kind, protocol, _, where in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
    except OSError:
        return False
    return True
