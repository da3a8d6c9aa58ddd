"""Recordings of LIBERO in a corpus that the simulator must repeat: those whose files say where each began."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError, RecordError
from dataengine.formats import hdf5, jpeg
from dataengine.sources.libero_hdf5 import LiberoHdf5
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.window import EpisodeReader
from pipelines.evaluation.calibrate.rollout import CAMERAS, Rollout, blocks, steps_to_look


class Demo(NamedTuple):
    """What is replayed, and where."""

    rollout: Rollout
    suite: str
    task: int | str
    """Its number or its name."""
    init_set: str
    side: int
    quality: str


def read_demos(corpus: str, quality: str) -> list[Demo]:
    """Read the recordings that `libero_hdf5` read; raise DataEngineError where none says its start.

    What a policy is to learn from (`openx/libero`) is what an expert wanted, not what a robot executed: it does not
    replay.
    """
    from dataengine.store import Corpus
    from pipelines.training.data import open_reader

    if not Corpus.exists(corpus):
        raise DataEngineError(f"{corpus}: no corpus there")
    reader = open_reader(corpus)
    origins = {
        row["episode_id"]: (row["source_uri"], row["source_record"])
        for batch in Corpus.open(corpus)
        .kept(vectors=["action"])
        .batches(["episode_id", "source_uri", "source_record", "dataset"])
        for row in batch.to_pylist()
        if row["dataset"] == LiberoHdf5.name
    }
    demos = []
    for episode in reader.episodes:
        if episode.episode_id not in origins:
            continue
        uri, record = origins[episode.episode_id]
        start = _start(Path(uri), record)
        state, action = reader.state(episode.row), reader.action(episode.row)
        if start is None or state is None or action is None:
            continue
        rollout = Rollout(
            task=f"{start['suite']}/{start['task']}",
            seed=start["seed"],
            actions=np.asarray(action, np.float32),
            states=np.asarray(state, np.float32),
            looks={slot: _looks(reader, episode, slot) for slot in CAMERAS if slot in episode.cameras},
            success_step=len(action),
        )
        demos.append(Demo(rollout, start["suite"], start["task"], start["init_set"], start["side"], quality))
    if not demos:
        raise DataEngineError(
            f"{corpus}: has no recordings of LIBERO whose starts are known; `villa eval libero-record` makes some, and "
            f"`villa ingest libero_hdf5` reads them"
        )
    return demos


def _looks(reader: EpisodeReader, episode: EpisodeInfo, slot: str) -> dict[int, NDArray[np.float32]]:
    """Give the pictures of a camera that are compared, by step."""
    steps = [step for step in steps_to_look(episode.num_steps) if step < episode.num_steps]
    frames = reader.jpegs(slot, [(episode.row, step) for step in steps])
    return {step: blocks(jpeg.decode(bytes(frame))) for step, frame in zip(steps, frames, strict=True)}


def _start(file: Path, record: str) -> dict[str, Any] | None:
    """Find what a file says of the start of a recording; None where it says nothing."""
    group = f"data/{record.rpartition('/')[2]}"
    try:
        about = hdf5.attributes(file, ("start", "side"), group=group)
    except RecordError:
        return None
    match = re.fullmatch(r"(random|wide)/(\d+)", str(about.get("start", "")))
    if match is None:
        return None
    return {
        "suite": file.parent.name,
        "task": file.stem.removesuffix("_demo"),
        "init_set": match[1],
        "seed": int(match[2]),
        "side": int(str(about.get("side") or 128)),
    }
