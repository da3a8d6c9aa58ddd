"""A policy server without a policy: says what it is told to say of itself, and answers with zeros."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from pipelines.evaluation.clients import openpi


@contextmanager
def openpi_server(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Serve until the block ends; give the address."""

    def talk(connection: ServerConnection) -> None:
        try:
            connection.send(openpi.encode(metadata))
            for _ in connection:
                connection.send(openpi.encode({"actions": np.zeros((8, 7))}))
        except ConnectionClosed:
            return

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


LIBERO_POLICY: Mapping[str, Any] = {
    "dataset": "openx/libero",
    "rate_hz": 20.0,
    "state_dim": 7,
    "state_encoding": "eef_pose",
    "state_grippers": [6],
    "state_low": [-0.2, -0.4, 0.0, -0.5, -0.5, -0.5, 0.0],
    "state_high": [0.3, 0.4, 0.4, 3.2, 0.5, 0.5, 1.0],
    "action_dim": 7,
    "action_encoding": "eef_delta",
    "action_grippers": [6],
    "action_low": [-0.05] * 3 + [-0.3] * 3 + [0.0],
    "action_high": [0.05] * 3 + [0.3] * 3 + [1.0],
}
"""What a policy that learnt from LIBERO's recordings says of its robot."""


def villa_metadata(cameras: tuple[str, ...] = ("image",), **change: Any) -> dict[str, Any]:
    """Say that the server is ours and serves a Franka."""
    robots = {"franka": {**LIBERO_POLICY, **change}}
    return {"server": "villa-engine", "embodiments": robots, "cameras": list(cameras)}
