"""Policies behind `villa serve`: each robot has a connection of its own, so that the server answers them together."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from pipelines.evaluation.clients.openpi import RefusedError, RemotePolicy, ServerGoneError
from pipelines.evaluation.simulators._base import Observation
from pipelines.evaluation.simulators._play import Lane

TOKEN: Final = "VILLA_SERVE_TOKEN"
"""Environment variable with the server's token."""


def is_server(policy: str) -> bool:
    """Tell the address of a policy server from a folder."""
    return policy.startswith(("ws://", "wss://"))


def connect(url: str) -> RemotePolicy:
    """Open a connection; raise DataEngineError where no policy answers."""
    try:
        return RemotePolicy(url, os.environ.get(TOKEN, ""))
    except ServerGoneError as error:
        raise DataEngineError(f"{error}; start `villa serve POLICY`, or check the address") from None
    except ModuleNotFoundError as error:
        raise DataEngineError(f"a policy server needs {error.name}: pip install 'villa-engine[serve]'") from None


@cache
def metadata_of(url: str) -> dict[str, Any]:
    """Ask a server, once in each process, what it serves."""
    policy = connect(url)
    policy.close()
    return policy.metadata


def server_fingerprint(url: str) -> str:
    """Tell one served policy from another, as far as the server says."""
    return hex_digest(repr(sorted(metadata_of(url).items())))


class RemoteActor:
    """Asks a server for all robots at once."""

    looks = True

    def __init__(self, url: str, instruction: str) -> None:
        self._url, self._instruction = url, instruction
        self._connections: dict[int, RemotePolicy] = {}
        cameras = metadata_of(url).get("cameras") or ()
        self._slots = [slot for slot in ("wrist", "wrist_2") if slot in cameras]

    def act(self, lanes: Sequence[Lane]) -> Sequence[NDArray[np.float32]]:
        """Send what every robot sees, and wait for all chunks."""
        connections = [self._of(lane) for lane in lanes]
        observations = [self._message(lane.observation) for lane in lanes if lane.observation is not None]
        try:
            with ThreadPoolExecutor(len(lanes)) as threads:
                replies = list(threads.map(RemotePolicy.ask, connections, observations))
        except ServerGoneError as error:
            raise DataEngineError(
                f"{error}; finished episodes are kept: start the server and give the same command again"
            ) from None
        except RefusedError as error:
            raise DataEngineError(f"{self._url} refuses what the simulator shows: {error}") from None
        return [np.asarray(reply["actions"], np.float32) for reply in replies]

    def _of(self, lane: Lane) -> RemotePolicy:
        """Give a robot its connection; an episode begins with its first look."""
        if id(lane) not in self._connections:
            self._connections[id(lane)] = connect(self._url)
        policy = self._connections[id(lane)]
        if lane.steps == 0:
            policy.begin()
        return policy

    def _message(self, seen: Observation) -> dict[str, Any]:
        shown = {slot: getattr(seen, slot) for slot in self._slots}
        pictures = {slot: np.ascontiguousarray(picture) for slot, picture in shown.items() if picture is not None}
        return {
            "image": np.ascontiguousarray(seen.image),
            **pictures,
            "state": seen.state,
            "prompt": self._instruction,
            "embodiment": seen.embodiment,
        }
