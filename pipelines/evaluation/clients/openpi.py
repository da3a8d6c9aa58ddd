"""A policy behind a websocket, in openpi's protocol: what simulators talk through, without a package of ours.

Needs numpy, msgpack and websockets. Nothing is built from a frame but plain values and arrays of numbers.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

CONNECT_S, ANSWER_S = 600.0, 300.0
"""How long a server may read its policy, and think about an answer."""
MAX_BYTES = 64 * 2**20


class ServerGoneError(RuntimeError):
    """The server cannot be reached, or went away, or was silent for too long."""


class RefusedError(RuntimeError):
    """The server answered with a line of text."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Write a frame."""
    import msgpack

    return bytes(msgpack.packb(message, default=_packed))


def decode(frame: str | bytes) -> dict[Any, Any]:
    """Read a frame; raise ValueError for what is none."""
    import msgpack

    if isinstance(frame, str):
        raise ValueError(f"a line of text: {frame:.200}")
    message = msgpack.unpackb(frame, object_hook=_array, raw=False)
    if not isinstance(message, dict):
        raise ValueError(f"frame holds a {type(message).__name__}, expected a map")
    return message


def _packed(one: object) -> Any:
    if isinstance(one, np.generic):
        return one.item()
    if not isinstance(one, np.ndarray):
        raise TypeError(f"cannot send a {type(one).__name__}")
    return {b"__ndarray__": True, b"data": one.tobytes(), b"dtype": one.dtype.str, b"shape": list(one.shape)}


def _array(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" not in value:
        return value
    kind = np.dtype(value[b"dtype"])
    if kind.kind not in "biuf":
        raise ValueError(f"array has type {kind}, expected numbers")
    return np.frombuffer(value[b"data"], kind).reshape(value[b"shape"])


class RemotePolicy:
    """One connection; an episode after another."""

    def __init__(self, url: str, token: str = "") -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        self._url, self._begins = url, True
        headers = {"Authorization": f"Api-Key {token}"} if token else None
        try:
            opened = connect(
                url, compression=None, max_size=MAX_BYTES, additional_headers=headers, proxy=None, open_timeout=30
            )
            self._opened = ExitStack()  # newer versions of websockets open by nothing but a block
            self._socket = self._opened.enter_context(opened)
            self.metadata = decode(self._socket.recv(timeout=CONNECT_S))
        except (OSError, WebSocketException, TimeoutError, ValueError, TypeError) as error:
            raise ServerGoneError(f"{url}: no policy there ({_line(error)})") from error

    def begin(self) -> None:
        """Begin an episode."""
        self._begins = True

    def ask(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Send an observation; give the reply, whose `actions` are (h, a)."""
        from websockets.exceptions import WebSocketException

        try:
            self._socket.send(encode({**observation, **({"reset": True} if self._begins else {})}))
            frame = self._socket.recv(timeout=ANSWER_S)
        except (OSError, WebSocketException, TimeoutError) as error:
            raise ServerGoneError(f"{self._url}: the server went away ({_line(error)})") from error
        self._begins = False
        if isinstance(frame, str):
            raise RefusedError(_line(frame))
        reply = decode(frame)
        actions = np.asarray(reply.get("actions"))
        if actions.dtype.kind not in "fi" or actions.ndim != 2 or not len(actions) or not np.isfinite(actions).all():
            raise RefusedError(f"the server's actions have shape {actions.shape}, expected numbers (steps, values)")
        return {**reply, "actions": actions}

    def close(self) -> None:
        """Say goodbye."""
        self._opened.close()


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
