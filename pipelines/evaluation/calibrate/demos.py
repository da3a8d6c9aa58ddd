"""Rollouts of a corpus that a simulator must repeat: those whose dataset says from which start each was played."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from pipelines.evaluation.calibrate.rollout import CAMERAS, Rollout, blocks, steps_to_look
from pipelines.evaluation.simulators._base import Simulator

ROLLOUTS = "meta/rollouts.jsonl"


def read_demos(corpus: str, simulator: type[Simulator]) -> list[Rollout]:
    """Read the rollouts of a simulator's robot whose start is known; there may be none."""
    from dataengine.store import Corpus
    from pipelines.training.data import open_reader

    if not Corpus.exists(corpus):
        raise DataEngineError(f"{corpus}: no corpus there")
    reader = open_reader(corpus)
    uris = {
        row["episode_id"]: row["source_uri"]
        for batch in Corpus.open(corpus).kept(vectors=["action"]).batches(["episode_id", "source_uri"])
        for row in batch.to_pylist()
    }
    rollouts = []
    for episode in reader.episodes:
        about = _about(uris.get(episode.episode_id, ""))
        if about is None or about["simulator"] != simulator.name or about["task"] not in simulator.tasks:
            continue
        state, action = reader.state(episode.row), reader.action(episode.row)
        if state is None or action is None or len(action) != about["steps"]:
            continue
        steps = [step for step in steps_to_look(len(action)) if step < len(action)]
        looks = {
            slot: {
                step: blocks(jpeg.decode(bytes(frame)))
                for step, frame in zip(steps, reader.jpegs(slot, [(episode.row, s) for s in steps]), strict=True)
            }
            for slot in CAMERAS
            if slot in episode.cameras
        }
        rollouts.append(
            Rollout(
                task=about["task"],
                seed=int(about["seed"]),
                actions=np.asarray(action, np.float32),
                states=np.asarray(state, np.float32),
                looks=looks,
                success_step=len(action) if about["success"] else -1,
            )
        )
    return rollouts


def _about(uri: str) -> dict[str, Any] | None:
    """Find what a recording says of an episode by the file that holds it: `data/chunk-000/episode_000003.parquet`."""
    path = Path(uri)
    if not path.stem.startswith("episode_") or len(path.parents) < 3:
        return None
    return _lines(path.parents[2] / ROLLOUTS).get(int(path.stem.rpartition("_")[2]))


@cache
def _lines(path: Path) -> dict[int, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {int(row["episode_index"]): row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DataEngineError(f"{path}: damaged ({error})") from None
