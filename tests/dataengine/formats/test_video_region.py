"""A part of a picture: the same part as shown, however the file turns and mirrors what it stores."""

from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from dataengine.formats.video.picture import Region, Shrinker, Turn
from tests.support.video_writer import write_video

TURNS = [Turn(*flags) for flags in product((False, True), repeat=3)]
LEFT_HALF, LOWER_THIRD = Region(right=0.5), Region(top=2 / 3)


def cropped(picture: np.ndarray, region: Region) -> np.ndarray:
    height, width = picture.shape[:2]
    rows = slice(round(region.top * height), round(region.bottom * height))
    return picture[rows, round(region.left * width) : round(region.right * width)]


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("region", [LEFT_HALF, LOWER_THIRD, Region(0.25, 0.25, 0.5, 0.75)], ids=str)
def test_a_region_means_the_picture_as_shown(turn: Turn, region: Region) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (24, 48, 3), np.uint8)
    shown_part = turn.apply(cropped(stored, region.stored(turn)))
    np.testing.assert_array_equal(shown_part, cropped(turn.apply(stored), region))


def test_a_region_is_cut_out_before_it_is_scaled(tmp_path: Path) -> None:
    path = write_video(tmp_path / "stereo.mp4", range(2), size=(96, 160))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        whole = simplejpeg.decode_jpeg(Shrinker(160).take(frame)[1])
        size, data = Shrinker(160, LEFT_HALF).take(frame)
        small_size, small = Shrinker(40, LEFT_HALF).take(frame)
    part = simplejpeg.decode_jpeg(data)
    assert size == small_size == part.shape[:2] == (96, 80)
    assert np.abs(part.astype(int) - whole[:, :80]).mean() < 2
    assert simplejpeg.decode_jpeg(small).shape == (40, 40, 3)


@pytest.mark.parametrize("sides", [(0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.2), (0, float("nan"), 1, 1)])
def test_a_region_lies_within_the_picture(sides: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="is no part of a picture"):
        Region(*sides)
