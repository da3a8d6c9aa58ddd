"""Plays episodes for `villa eval libero`, one job a line."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.clients.broken import BrokenError
from pipelines.evaluation.clients.channel import Channel
from pipelines.evaluation.clients.libero import actors, record
from pipelines.evaluation.clients.libero.episode import Protocol, Row, play, recorded
from pipelines.evaluation.clients.libero.scene import Scene, make_scene, upright
from pipelines.evaluation.clients.openpi import RefusedError, RemotePolicy, ServerGoneError

TOKEN = "VILLA_SERVE_TOKEN"
BLIND_SEED = 0
"""Start of the recording that is played blind; no evaluation begins there."""


class Player:
    """Keeps what several episodes share: the scene of the task before, the connection, recordings."""

    def __init__(self, channel: Channel, suite: str, side: int, quality: str) -> None:
        self._channel, self._suite, self._side, self._quality = channel, suite, side, quality
        self._scene: tuple[int, Scene] | None = None
        self._policies: dict[str, RemotePolicy] = {}
        self._first_looks: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
        self._recordings: dict[int, NDArray[np.float64]] = {}

    def play(self, job: dict[str, Any]) -> dict[str, Any]:
        """Play one job."""
        film = Path(job["film"]) if job.get("film") else None
        actor = self._actor(job)
        start = (job["init_set"], job["index"])
        scene, rows = self.scene(job["task"]), list[Row]() if job["rollout"] else None
        outcome = play(scene, actor, start, Protocol(**job["protocol"]), film, self._channel.alive, rows)
        if rows is not None:
            facts = {**job["rollout"]["facts"], "instruction": scene.instruction, "success": outcome.success}
            record.save(Path(job["rollout"]["file"]), {**recorded(rows), **facts})
        return asdict(outcome)

    def scene(self, task: int) -> Scene:
        """Give the scene of a task; one is kept, as each holds a drawing context."""
        if self._scene is None or self._scene[0] != task:
            if self._scene is not None:
                self._scene[1].close()
            self._scene = task, make_scene(self._suite, task, side=self._side, quality=self._quality)
        return self._scene[1]

    def _actor(self, job: dict[str, Any]) -> actors.Actor:
        kind, task = job["policy"], int(job["task"])
        if kind == "random":
            return actors.Random(1000 * task + int(job["index"]))
        if kind == "expert":
            return actors.Scripted()
        if kind == "replay":
            return actors.Blind(self._recording(task))
        if (url := job["url"]) not in self._policies:
            self._policies[url] = RemotePolicy(url, os.environ.get(TOKEN, ""))
        others = self._first_look(job["swap_with"]) if job["pictures"] == "swapped" else None
        return actors.Served(
            self._policies[url],
            action_steps=job["action_steps"],
            gripper=job["gripper"],
            pictures=job["pictures"],
            others=others,
            embodiment=job["embodiment"],
        )

    def _recording(self, task: int) -> NDArray[np.float64]:
        """Give what the expert did from a start of its own."""
        if task not in self._recordings:
            for seed in range(BLIND_SEED, BLIND_SEED + 10):
                episode = record.play(self.scene(task), "random", seed, draw=False, alive=self._channel.alive)
                if episode is not None:
                    self._recordings[task] = episode["executed"]
                    break
            else:
                raise RuntimeError(f"the expert solved none of ten starts of task {task}: nothing to play blind")
        return self._recordings[task]

    def _first_look(self, task: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Give what the cameras see at the first start of another task."""
        if task not in self._first_looks:
            view = self.scene(task).begin("official", 0)
            self._first_looks[task] = upright(view.image), upright(view.wrist)
        return self._first_looks[task]


def run(suite: str, side: int, quality: str) -> None:
    """Play until standard input ends."""
    channel = Channel()
    player = Player(channel, suite, side, quality)
    channel.say("ready")
    for job in channel.jobs():
        try:
            channel.say("ended", **player.play(dict(job)))
        except (ServerGoneError, RefusedError) as error:
            channel.say("policy_failed", why=str(error))
            return
        except BrokenError as error:
            channel.say("broken", why=str(error))
            return
        except Exception as error:  # one episode is lost, and the next begins in a fresh process
            channel.say("lost", why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            return
