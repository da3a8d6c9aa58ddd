"""Starts in the order in which they are compared, and the outcomes of evaluations that were made before."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from dataengine.errors import DataEngineError
from pipelines.evaluation.results import TaskResult


class Start(NamedTuple):
    """A task and the seed of its start."""

    task: str
    seed: int


def shuffled(starts: Sequence[Start], order_seed: int) -> list[Start]:
    """Shuffle starts; the order in which they are given, or tasks are named, has no say."""
    return [sorted(starts)[i] for i in np.random.default_rng(order_seed).permutation(len(starts))]


def planned(tasks: Sequence[str], budget: int, first_seed: int, order_seed: int) -> list[Start]:
    """Choose as many starts of every task, as many in all as the budget allows, and shuffle them."""
    starts = [Start(task, first_seed + i) for i in range(-(-budget // len(tasks))) for task in sorted(set(tasks))]
    return shuffled(starts[:budget], order_seed)


class Finished(NamedTuple):
    """What a finished evaluation found of one policy."""

    name: str
    solved: Mapping[Start, bool]


def is_finished(folder: str) -> bool:
    """Tell the results of `villa eval` from a policy."""
    path = Path(folder.rpartition("@")[0] or folder) if not Path(folder).is_dir() else Path(folder)
    return any(path.glob("results/*.json")) and not (path / "config.json").exists()


def read_finished(folder: str) -> Finished:
    """Read FOLDER or FOLDER@NAME; raise DataEngineError where it holds no or several policies."""
    path, _, wanted = (folder, "", "") if Path(folder).is_dir() else folder.rpartition("@")
    by_name: dict[str, list[TaskResult]] = {}
    for file in sorted(Path(path).glob("results/*.json")):
        try:
            result = TaskResult.model_validate_json(file.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError):
            raise DataEngineError(f"{file}: is no result of `villa eval`; remove it") from None
        by_name.setdefault(result.policy, []).append(result)
    if wanted and wanted not in by_name:
        raise DataEngineError(f"{path}: has no results of '{wanted}', but of {', '.join(by_name)}")
    if not wanted and len(by_name) > 1:
        raise DataEngineError(f"{path}: has results of {', '.join(by_name)}; name one, as {path}@{next(iter(by_name))}")
    name = wanted or next(iter(by_name))
    solved: dict[Start, bool] = {}
    for result in by_name[name]:
        if not result.seeds:
            raise DataEngineError(
                f"{path}: the result of {result.policy} on {result.task} does not say its starts (it is of an older "
                f"version); evaluate anew, or compare the policies themselves"
            )
        failed = set(result.failed_seeds)
        title = f"{result.task}, instruction of {other}" if (other := result.instruction_override) else result.task
        for seed in result.seeds:
            if solved.setdefault(Start(title, seed), seed not in failed) != (seed not in failed):
                raise DataEngineError(
                    f"{path}: two results of {name} on {title} differ at start {seed}: evaluations with several "
                    f"settings lie there; give each a folder of its own"
                )
    return Finished(name, solved)


def common(finished: Sequence[Finished]) -> list[Start]:
    """Give the starts that all have; raise DataEngineError where there are none."""
    starts = sorted(set.intersection(*(set(one.solved) for one in finished)))
    if not starts:
        raise DataEngineError(
            f"{' and '.join(one.name for one in finished)} have no start in common; evaluate them with equal tasks "
            f"and an equal seed_offset"
        )
    return starts
