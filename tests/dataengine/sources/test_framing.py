"""How any source shapes its frames: what `villa ingest` says of size, rate and fit."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import simplejpeg

from dataengine import catalog
from dataengine.episode import Episode, Reject
from tests.support import agibot_tree, lerobot_tree, lerobot_writer, rh20t_tree


@pytest.mark.parametrize("name", catalog.source_names())
def test_it_takes_what_shapes_frames(name: str) -> None:
    taken = signature(catalog.source(name)).parameters
    assert {"frame_size", "frame_hz", "fit"} <= taken.keys()


def agibot(root: Path, **settings: Any) -> list[Episode | Reject]:
    agibot_tree.write_tree(root, agibot_tree.TASK, ["648642"], level=60)
    source = catalog.source("agibot")(str(root), **settings)
    return [outcome for part in source.parts() for outcome in source.read(part)]


def lerobot(root: Path, **settings: Any) -> list[Episode | Reject]:
    lerobot_writer.write_v3(root)
    return lerobot_tree.read_all(root, **settings)


def rh20t(root: Path, **settings: Any) -> list[Episode | Reject]:
    rh20t_tree.write_root(root)
    return rh20t_tree.read_all(root, **settings)


@pytest.mark.parametrize("read", [agibot, lerobot, rh20t])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_its_frames_are_padded_or_cropped_to_squares(
    tmp_path: Path, read: Callable[..., list[Episode | Reject]], fit: str
) -> None:
    episodes = [outcome for outcome in read(tmp_path, frame_size=32, fit=fit) if isinstance(outcome, Episode)]
    assert episodes
    for frames in (frames for episode in episodes for frames in episode.cameras.values()):
        assert frames.native_height != frames.native_width
        assert (frames.height, frames.width) == (32, 32)
        picture = simplejpeg.decode_jpeg(frames.jpegs[-1]).astype(int)
        assert picture.shape == (32, 32, 3)
        edges = picture[[0, -1]] if frames.native_width > frames.native_height else picture[:, [0, -1]]
        assert (edges.max() < 12) == (fit == "pad")
