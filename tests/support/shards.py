"""Shards written of made episodes."""

from pathlib import Path

from dataengine.shards.plan import plan
from dataengine.shards.writer import write_shards
from tests.support.readers import MadeReader, make_episode


def made_reader() -> MadeReader:
    human = make_episode(2, kind="human", embodiment="human_hand", embodiment_id=2, dataset="kitchen", dataset_id=2)
    return MadeReader([make_episode(0), make_episode(1, num_steps=47, cameras=("primary", "wrist")), human])


def write(directory: Path, reader: MadeReader, **changes: object) -> dict:
    plain: dict = {"latents": ["lam"], "shard_mb": 0.03, "segment_steps": 20}
    return write_shards(reader, directory, plan(reader, **(plain | changes)))
