"""Rows of a policy's tables and heads: those that it has, and new ones behind them for what it does not know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import EpisodeReader
from pipelines.training.act.saved import SavedPolicy
from pipelines.training.task import TrainingData


@dataclass(frozen=True)
class Numbering:
    """Row of each robot and of each dataset, by name."""

    embodiments: Mapping[str, int]
    datasets: Mapping[str, int]
    new_embodiments: tuple[str, ...]
    """In the order of their rows, which come last."""
    new_datasets: tuple[str, ...]

    @classmethod
    def extending(cls, saved: SavedPolicy, episodes: EpisodeTable) -> "Numbering":
        """Keep the rows that a policy has; give new ones to robots and datasets of episodes that it does not know."""
        embodiments = {name: int(body["embodiment_id"]) for name, body in saved.bodies.items()}
        datasets = {name: row for body in saved.bodies.values() for name, row in _rows_of_datasets(body)}
        setups = [setup for setup, _, _ in episodes.by_setup()]
        robots = sorted({s.embodiment for s in setups if s.kind == "robot"} - embodiments.keys())
        others = sorted({s.dataset for s in setups} - datasets.keys())
        config = saved.model.config
        embodiments |= {name: len(config.state_dims) + i for i, name in enumerate(robots)}
        datasets |= {name: config.num_datasets + i for i, name in enumerate(others)}
        return cls(embodiments, datasets, tuple(robots), tuple(others))

    def apply(self, training_data: TrainingData, wanted: Sequence[str]) -> TrainingData:
        """Give the episodes of the wanted robots, with the policy's rows in place of the corpus's."""
        reader = cast(EpisodeReader, _Renumbered(training_data.reader, self))

        def mine(episodes: EpisodeTable) -> EpisodeTable:
            kept = episodes.select(episodes.having(s.embodiment in wanted for s in episodes.setups))
            return kept.with_setups(reader.episodes.setups)

        return TrainingData(reader, mine(training_data.train), mine(training_data.held_out))


class _Renumbered:
    """A reader whose episodes have the rows of a policy; all else is the reader's own."""

    def __init__(self, reader: EpisodeReader, numbering: Numbering) -> None:
        self._reader = reader
        setups = [
            replace(
                s,
                # People have no heads: row 0, which nothing trains.
                embodiment_id=numbering.embodiments.get(s.embodiment, 0),
                dataset_id=numbering.datasets.get(s.dataset, 0),
            )
            for s in reader.episodes.setups
        ]
        self.episodes = reader.episodes.with_setups(setups)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def _rows_of_datasets(body: Mapping[str, Any]) -> list[tuple[str, int]]:
    """List datasets of a robot with their rows; older checkpoints know one."""
    if "datasets" in body:
        return [(name, int(facts["dataset_id"])) for name, facts in body["datasets"].items()]
    return [(str(body["dataset"]), int(body["dataset_id"]))] if "dataset" in body else []


def pick(training_data: TrainingData, wanted: Sequence[str]) -> EpisodeTable:
    """Give the episodes of the wanted embodiments; raise DataEngineError that names one of which there are none."""
    uri, there = training_data.reader.uri, sorted({s.embodiment for s in training_data.reader.episodes.setups})
    for name in wanted:
        if name not in there:
            near = did_you_mean(name, there, f"found {', '.join(there)}")
            raise DataEngineError(f"{uri}: no episode of embodiment '{name}'; {near}")
        if not any(setup.embodiment == name for setup, _, _ in training_data.train.by_setup()):
            raise DataEngineError(
                f"{uri}: all episodes of embodiment '{name}' are held out, expected some to train on; lower "
                f"val_fraction"
            )
    everyone = training_data.reader.episodes
    mine = everyone.select(everyone.having(s.embodiment in wanted for s in everyone.setups))
    if not any(setup.kind == "robot" for setup, _, _ in mine.by_setup()):
        raise DataEngineError(
            f"{uri}: {', '.join(wanted)} is no robot, expected one beside it: only robots teach a policy to act"
        )
    return mine
