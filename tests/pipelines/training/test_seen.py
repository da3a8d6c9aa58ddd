"""A run goes on from the data that it began with, and from no other that has the same episodes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataengine.errors import OtherSettingsError
from dataengine.framing import Framing
from dataengine.shards.reader import ShardReader
from dataengine.windows.window import EpisodeReader
from pipelines.training.continuing import check_identity
from pipelines.training.lam import lam as train_lam
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.seen import seen
from tests.support.readers import MadeReader, make_episode
from tests.support.shards import write

SETTINGS: dict[str, Any] = {
    "preset": "tiny",
    "steps": 2,
    "batch_size": 2,
    "val_windows": 4,
    "val_fraction": 0.3,
    "device": "cpu",
}
CONFIG = TrainLamConfig(data="made", out="run")


def made(**changes: Any) -> MadeReader:
    reader = MadeReader([make_episode(i, **changes) for i in range(6)], size=64)
    reader.identity = replace(reader.identity, framings={"pantry": Framing(256, "squash")})
    return reader


def shards(folder: Path, **settings: Any) -> ShardReader:
    write(folder, made(), **settings)
    return ShardReader(folder)


def going_on(before: EpisodeReader, now: EpisodeReader, lam: str = "lam") -> tuple[str, ...]:
    """Say what keeps a run from going on."""
    facts = [seen(one, one.latent_info(lam)) | CONFIG.fixed_on_resume() for one in (before, now)]
    try:
        check_identity(facts[0], facts[1], CONFIG, Path("run"))
    except OtherSettingsError as error:
        return tuple(error.details)
    return ()


def test_how_shards_were_cut_and_shuffled_makes_no_difference(tmp_path: Path) -> None:
    first = shards(tmp_path / "first", shard_mb=0.03, segment_steps=20, seed=0)
    second = shards(tmp_path / "second", shard_mb=1, segment_steps=1000, seed=1)
    assert going_on(first, second) == going_on(made(), first) == ()


def test_scaled_shards_are_other_data(tmp_path: Path) -> None:
    as_ingested, scaled = shards(tmp_path / "as_ingested"), shards(tmp_path / "scaled", frame_side=32)
    assert going_on(as_ingested, scaled) == ("frame_side (that shards were scaled to): not set -> 32",)


def test_other_pictures_of_the_same_episodes_are_other_data() -> None:
    larger, robot = made(), made()
    larger.identity = replace(larger.identity, framings={"pantry": Framing(512, "pad")})
    assert going_on(robot, larger) == ("frames (how they came to rest).pantry: squash, 256 pixels -> pad, 512 pixels",)
    two = made(cameras=("primary", "wrist"))
    assert going_on(robot, two) == ("cameras (of each dataset).pantry: ['primary'] -> ['primary wrist']",)
    assert going_on(robot, made(control_hz=5.0)) == ("control_hz (of each dataset).pantry: [10.0] -> [5.0]",)


def test_labels_of_another_precision_are_other_data() -> None:
    class InHalf(MadeReader):
        def latent_info(self, lam: str):
            return replace(super().latent_info(lam), precision="bf16")

    half = InHalf(list(made().episodes), size=64)
    half.identity = made().identity
    assert going_on(made(), half) == (
        "labels (how they were computed): with past frames, fp32 -> with past frames, bf16",
    )


def test_statistics_that_tell_datasets_apart_normalise_otherwise() -> None:
    class ByDataset(MadeReader):
        def statistics(self):
            return {n: replace(one, by_dataset={"pantry": one}) for n, one in super().statistics().items()}

    apart = ByDataset(list(made().episodes), size=64)
    apart.identity = made().identity
    assert going_on(made(), apart) == (
        "statistics (datasets that they tell apart, by embodiment).arm7_jaw: [] -> ['pantry']",
    )


def test_a_run_of_an_earlier_version_goes_on() -> None:
    before = {"data": made().identity.fingerprint, **CONFIG.fixed_on_resume()}
    check_identity(before, seen(made()) | CONFIG.fixed_on_resume(), CONFIG, Path("run"))


def test_a_training_refuses_scaled_shards_in_place_of_whole_ones(tmp_path: Path) -> None:
    write(tmp_path / "whole", made())
    write(tmp_path / "scaled", made(), frame_side=32)
    settings = {**SETTINGS, "out": str(tmp_path / "run"), "model": {"resolution": 32}}
    train_lam.run(TrainLamConfig(data=str(tmp_path / "whole"), max_minutes=1e-9, **settings))
    with pytest.raises(OtherSettingsError) as refused:
        train_lam.run(TrainLamConfig(data=str(tmp_path / "scaled"), **settings))
    assert "frame_side (that shards were scaled to): not set -> 32" in refused.value.details
