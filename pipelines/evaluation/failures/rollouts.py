"""Rollouts to be explained: kept by an evaluation, or episodes of a corpus that say how they went."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine import texts
from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from pipelines.evaluation.rollouts import opened

if TYPE_CHECKING:
    from dataengine.store import Corpus

Look = Callable[[Sequence[int]], list[NDArray[np.uint8]]]
"""Gives frames (height, width, 3) by their steps."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One attempt, and how it went."""

    name: str
    """Task and start, or the episode's id."""
    policy: str
    task: str
    instruction: str
    success: bool
    embodiment: str
    num_steps: int
    control_hz: float
    look: Look
    episode_id: str = ""
    """Where it is an episode of a corpus."""


def read_rollouts(where: str) -> list[Rollout]:
    """List the rollouts of an evaluation's folder, or of a corpus; raise DataEngineError where there are none."""
    from dataengine.store import Corpus

    if Corpus.exists(where):
        return _of_corpus(Corpus.open(where))
    files = sorted(Path(where).glob("rollouts/*.npz"))
    if not files:
        raise DataEngineError(
            f"{where}: neither a corpus nor an evaluation that kept its episodes (rollouts/*.npz); run `villa eval` "
            f"with --mine-failures or --record"
        )
    return of_files(files)


def of_files(files: Iterable[Path]) -> list[Rollout]:
    """Read what episodes that `villa eval` kept say of themselves; their pictures are read when they are looked at."""
    rollouts = []
    for file in files:
        with opened(file) as kept:
            task, seed = str(kept["task"]), int(kept["seed"])
            rollouts.append(
                Rollout(
                    name=f"{task}, start {seed}",
                    policy=str(kept["policy"]),
                    task=task,
                    instruction=str(kept["instruction"]),
                    success=bool(kept["success"]),
                    embodiment=str(kept["embodiment"]),
                    num_steps=len(kept["action"]),
                    control_hz=float(kept["control_hz"]),
                    look=partial(_look_in_file, file),
                )
            )
    return rollouts


def _look_in_file(file: Path, steps: Sequence[int]) -> list[NDArray[np.uint8]]:
    with opened(file) as kept:
        return list(kept["image"][list(steps)])


def _of_corpus(corpus: "Corpus") -> list[Rollout]:
    """List the episodes that say whether they succeeded, also those that curation dropped for their failure."""
    kept = corpus.kept(slots=["primary"], kept_only=False)
    outcomes = {
        row["episode_id"]: json.loads(row["notes"] or "{}").get("outcome")
        for batch in kept.batches(["episode_id", "notes"])
        for row in batch.to_pylist()
    }
    rollouts = []
    for episode in kept.episodes(trimmed=False):
        if outcomes.get(episode.episode_id) in ("success", "failure"):
            said = texts.said_at(episode.texts, 0)
            rollouts.append(
                Rollout(
                    name=episode.episode_id,
                    policy=episode.dataset,
                    task=said,
                    instruction=said,
                    success=outcomes[episode.episode_id] == "success",
                    embodiment=episode.embodiment,
                    num_steps=episode.num_steps,
                    control_hz=episode.control_hz,
                    look=partial(_look_in_corpus, corpus, episode.episode_id),
                    episode_id=episode.episode_id,
                )
            )
    if not rollouts:
        raise DataEngineError(
            f"{corpus.uri}: no episode says whether it succeeded; ingest rollouts that `villa eval --record` wrote, or "
            f"a LeRobot set with next.success"
        )
    return rollouts


def _look_in_corpus(corpus: "Corpus", episode_id: str, steps: Sequence[int]) -> list[NDArray[np.uint8]]:
    return [jpeg.decode(bytes(one)) for one in corpus.jpegs("primary", [(episode_id, int(step)) for step in steps])]
