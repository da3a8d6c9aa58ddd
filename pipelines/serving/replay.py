"""Serves the actions of a recorded episode, whatever is seen: the cheapest test of a robot's wiring.

Observations are checked as a policy would. Beyond the episode's end the robot is to stand still: no motion where
actions are changes, the last pose where they are poses.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from dataengine.errors import DataEngineError
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeReader
from pipelines.serving import observation
from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import checked_state, vector_facts
from pipelines.serving.observation import Names, Reply, Request
from pipelines.serving.wire import WireError

CHUNK: Final = 16
"""Actions in a chunk where the settings do not say."""


class ReplayEngine:
    """An episode of a corpus or of shards."""

    def __init__(self, config: ServeConfig) -> None:
        from pipelines.training.data import open_reader

        uri, _, wanted = config.replay.rpartition("@")
        if not uri or not wanted:
            raise DataEngineError(f"--replay {config.replay}: expected CORPUS@EPISODE; `villa show CORPUS` names some")
        reader = open_reader(uri)
        self._episode = find_episode(reader, wanted)
        if config.embodiment not in ("", self._episode.embodiment):
            raise DataEngineError(
                f"{config.replay}: is of '{self._episode.embodiment}', found embodiment {config.embodiment}; leave it "
                f"out"
            )
        actions = reader.action(self._episode.row)
        if actions is None:
            raise DataEngineError(f"{config.replay}: is human video without actions, expected an episode of a robot")
        self._names = Names(config.keys)
        self._numbers = Normalizer(reader.statistics())
        self.horizon = config.action_steps or CHUNK
        name, dataset = self._episode.embodiment, self._episode.dataset
        still = self._numbers.at_rest(name, actions[-1], dataset)
        self._moves_known = still is not None
        rest = actions[-1] if still is None else still
        self._actions = np.concatenate([actions, np.tile(rest, (self.horizon, 1))]).astype(np.float32)

    def metadata(self, embodiment: str = "") -> dict[str, Any]:
        """Say what is replayed."""
        episode = self._episode
        self._check_robot(embodiment or episode.embodiment)
        statistics = self._numbers.of(episode.embodiment, episode.dataset)
        facts = {
            "dataset": episode.dataset,
            "rate_hz": float(episode.control_hz),
            **vector_facts("state", statistics.state),
            **vector_facts("action", statistics.action),
        }
        return {
            "server": "villa-engine",
            "embodiment": episode.embodiment,
            **facts,
            "embodiments": {episode.embodiment: facts},
            "cameras": ["image"],
            "horizon": self.horizon,
            "action_horizon": self.horizon,
            "plan": [],
            "frames": False,
            "replay": {
                "episode_id": episode.episode_id,
                "steps": episode.num_steps,
                "instruction": list(episode.instruction),
                "then": "stands still" if self._moves_known else "repeats the last action",
            },
        }

    def request(self, seen: Mapping[str, Any], step: int, embodiment: str = "") -> Request:
        """Check an observation against the episode's robot."""
        image = observation.image(seen, self._names, "image")
        if image is None:
            raise WireError(f"observation has no image, expected the primary camera in {self._names.said('image')}")
        for key in ("plan", "frames", "rtc"):
            if key in seen and (key == "rtc" or observation.flag(seen, key)):
                raise WireError(f"'{key}' was asked for, which is of policies; this server replays a recorded episode")
        episode = self._episode
        for name in self._names.find(seen, "embodiment"):
            self._check_robot(name)
        dim = self._numbers.dim(episode.embodiment, "state", episode.dataset)
        return Request(
            image=image,
            wrist=observation.image(seen, self._names, "wrist"),
            state=checked_state(seen, self._names, episode.embodiment, dim),
            embodiment=episode.embodiment,
            instruction=observation.instruction(seen, self._names),
            step=step,
        )

    def _check_robot(self, name: object) -> None:
        if not isinstance(name, str) or name != self._episode.embodiment:
            raise WireError(f"embodiment {name!r:.80} is not served here, expected '{self._episode.embodiment}'")

    def warm_up(self) -> None:
        """Do nothing: it is warm."""

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Give each client the actions that follow in its own episode."""
        starts = (min(one.step, len(self._actions) - self.horizon) for one in requests)
        return [Reply(self._actions[start : start + self.horizon]) for start in starts]


def find_episode(reader: EpisodeReader, wanted: str) -> EpisodeInfo:
    """Find the one episode whose id begins so; raise DataEngineError where there is none, or several."""
    matches = [episode for episode in reader.episodes if episode.episode_id.startswith(wanted)]
    if len(matches) != 1:
        some = ", ".join(one.episode_id for one in (matches or reader.episodes)[:3])
        raise DataEngineError(
            f"{reader.uri}: {len(matches) or 'no'} episodes start with '{wanted}', expected one; there are {some}"
        )
    return matches[0]
