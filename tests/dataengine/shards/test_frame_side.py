"""Shards of frames at the size that is trained at: one scaling, one more JPEG, and no other size."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine.errors import DataEngineError, OtherSettingsError
from dataengine.shards.plan import plan
from dataengine.shards.reader import ShardReader
from dataengine.shards.writer import write_shards
from pipelines.training.frames import Frames
from tests.support.readers import MadeReader, make_episode
from tests.support.shards import write

WANTED = [(0, 0), (0, 7), (0, 25), (1, 3)]


def reader(size: int) -> MadeReader:
    return MadeReader([make_episode(0), make_episode(1)], size=size)


def pictures(of: MadeReader | ShardReader, side: int) -> np.ndarray:
    out = np.zeros((len(WANTED), side, side, 3), np.uint8)
    rows = {e.episode_id: e.row for e in of.episodes}
    Frames(of, ("primary",), side).fetch("primary", [(rows[make_episode(e).episode_id], f) for e, f in WANTED], out)
    return out


def test_scaled_frames_are_those_of_the_loader_but_for_one_more_jpeg(tmp_path: Path) -> None:
    manifest = write(tmp_path, reader(96), frame_side=64)
    stored = ShardReader(tmp_path)
    assert manifest["frame_side"] == stored.frame_side == 64
    assert {simplejpeg.decode_jpeg_header(j)[:2] for j in stored.jpegs("primary", [(0, 0), (1, 5)])} == {(64, 64)}
    off = np.abs(pictures(stored, 64).astype(int) - pictures(reader(96), 64))
    assert 0 < off.mean() < 1 and off.max() < 24


def test_frames_that_fit_keep_their_bytes_so_that_training_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path, reader(64), frame_side=64)
    np.testing.assert_array_equal(pictures(ShardReader(tmp_path), 64), pictures(reader(64), 64))


@pytest.mark.parametrize("side", [32, 128])
def test_another_size_is_refused_in_one_line(tmp_path: Path, side: int) -> None:
    write(tmp_path, reader(96), frame_side=64)
    with pytest.raises(
        DataEngineError, match=f"scaled to 64 pixels a side, this model sees {side}.*--frame-side {side}"
    ):
        Frames(ShardReader(tmp_path), ("primary",), side)


def test_a_frame_that_does_not_decode_stays_one(tmp_path: Path) -> None:
    class Broken(MadeReader):
        def jpegs(self, slot, wanted):
            return [
                j[:200] if pair == (0, 7) else j for pair, j in zip(wanted, super().jpegs(slot, wanted), strict=True)
            ]

    write(tmp_path, Broken([make_episode(0)], size=96), frame_side=64)
    frames = Frames(ShardReader(tmp_path), ("primary",), 64)
    frames.fetch("primary", [(0, 6), (0, 7)], np.zeros((2, 64, 64, 3), np.uint8))
    assert frames.broken == {"primary": {(0, 7)}}


def test_a_folder_of_frames_as_they_are_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, reader(96))
    assert ShardReader(tmp_path).frame_side is None
    with pytest.raises(OtherSettingsError) as caught:
        write(tmp_path, reader(96), frame_side=64)
    assert any("frame_side" in line for line in caught.value.details)


def test_no_shard_holds_a_handle_of_the_process(tmp_path: Path) -> None:
    write(tmp_path, reader(64))
    stored = ShardReader(tmp_path)
    stored.jpegs("primary", [(row, step) for row in (0, 1) for step in range(30)])
    held = [str(handle.readlink()) for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()]
    assert not [path for path in held if path.endswith(".tar")]


def test_shards_are_planned_by_the_size_that_their_frames_will_have(tmp_path: Path) -> None:
    class Weighed(MadeReader):
        def num_bytes(self, row: int) -> int:
            return sum(map(len, self.jpegs("primary", [(row, step) for step in range(self.episodes[row].num_steps)])))

    source = Weighed([make_episode(i) for i in range(6)], size=192)
    whole, halved = (plan(source, shard_mb=0.1, frame_side=side) for side in (None, 48))
    frames = sum(source.num_bytes(row) for row in range(6))
    assert whole.num_bytes == frames
    write_shards(source, tmp_path, halved)
    stored = ShardReader(tmp_path)
    assert halved.num_bytes == pytest.approx(sum(stored.num_bytes(e.row) for e in stored.episodes), rel=0.1)
    assert halved.num_shards < whole.num_shards
