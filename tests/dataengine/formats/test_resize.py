"""The one resizer: what it makes of pictures, and how frames of any shape come to rest."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from dataengine.formats import jpeg
from dataengine.formats.resize import SCALERS, at_rest, resize
from dataengine.formats.video import video
from dataengine.framing import Fit, Framing

FITS: tuple[Fit, ...] = ("squash", "pad", "crop")
SIZES = [(120, 160), (200, 90), (70, 300), (64, 64), (33, 17)]


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 40)], axis=-1).astype(np.uint8)


def waves(height: int, width: int, pixels: float) -> np.ndarray:
    """Upright stripes that come again after so many pixels."""
    row = 127.5 + 100 * np.sin(2 * np.pi * np.arange(width) / pixels)
    return np.broadcast_to(row.round().astype(np.uint8)[None, :, None], (height, width, 3)).copy()


def test_a_picture_of_that_size_is_itself() -> None:
    picture = smooth(48, 64)
    assert resize(picture, 48, 64) is picture


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_ramp_stays_a_ramp_at_any_size(height: int, width: int) -> None:
    resized = resize(smooth(height, width), 50, 40)
    assert resized.shape == (50, 40, 3)
    assert resized.dtype == np.uint8
    assert np.abs(resized.astype(int) - smooth(50, 40)).max() <= 255 / min(height, width, 40) + 3


@pytest.mark.parametrize("shrunk", [2, 4, 7.5])
def test_waves_too_fine_for_the_small_picture_become_grey_and_leave_no_moire(shrunk: float) -> None:
    side = int(240 / shrunk)
    too_fine, fine_enough = waves(240, 240, 1.25 * shrunk), waves(240, 240, 8 * shrunk)
    assert resize(too_fine, side, side)[2:-2, 2:-2].std() < 15
    assert resize(fine_enough, side, side)[2:-2, 2:-2].std() > 50


def test_colours_keep_the_whole_resolution() -> None:
    red_and_blue = np.zeros((64, 64, 3), np.uint8)
    red_and_blue[:, ::2, 0], red_and_blue[:, 1::2, 2] = 200, 200
    resized = resize(red_and_blue, 32, 32)[:, 1:-1]
    assert np.abs(resized.astype(int) - (100, 0, 100)).max() <= 4
    wide = np.zeros((64, 64, 3), np.uint8)
    wide[:, :30, 0], wide[:, 30:, 2] = 200, 200
    resized = resize(wide, 32, 32).astype(int)
    assert np.abs(resized[:, :14] - (200, 0, 0)).max() <= 2
    assert np.abs(resized[:, 16:] - (0, 0, 200)).max() <= 2


def test_a_picture_is_scaled_alike_whatever_was_scaled_before_it_and_in_any_thread() -> None:
    pictures = [smooth(40 + 9 * i, 300 - 11 * i) for i in range(SCALERS + 3)]
    alone = [ThreadPoolExecutor(1).submit(resize, picture, 64, 64).result() for picture in pictures]
    order = np.random.default_rng(0).integers(0, len(pictures), 60).tolist()
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda i: resize(pictures[i], 64, 64), order))
    for i, scaled in zip(order, together, strict=True):
        assert np.array_equal(scaled, alone[i])


def test_sizes_that_no_picture_has_are_an_error_that_a_reader_expects() -> None:
    assert resize(smooth(1, 1), 30, 30).shape == (30, 30, 3)
    with pytest.raises(ValueError, match="cannot be scaled from 1x8000000 to 9x9"):
        resize(np.zeros((1, 8_000_000, 3), np.uint8), 9, 9)


@pytest.mark.parametrize(
    ("fit", "native", "expected"),
    [
        ("squash", (480, 640), (256, 256)),
        ("squash", (180, 240), (180, 240)),
        ("squash", (180, 300), (256, 256)),
        ("pad", (480, 640), (256, 256)),
        ("pad", (180, 240), (240, 240)),
        ("pad", (640, 360), (256, 256)),
        ("crop", (480, 640), (256, 256)),
        ("crop", (180, 240), (180, 180)),
        ("crop", (180, 300), (180, 180)),
        ("crop", (200, 200), (200, 200)),
        ("pad", (300, 300), (256, 256)),
    ],
)
def test_frames_come_to_rest_within_the_side(fit: Fit, native: tuple[int, int], expected: tuple[int, int]) -> None:
    framing = Framing(256, fit)
    assert framing.size(*native) == expected
    assert at_rest(smooth(*native), framing).shape[:2] == expected


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(FITS))
def test_a_frame_at_rest_stays_as_it_is(height: int, width: int, fit: Fit) -> None:
    framing = Framing(64, fit)
    rest = framing.size(height, width)
    assert max(rest) <= 64
    assert framing.size(*rest) == rest
    whole = framing.scaled(height, width)
    held = whole if fit != "crop" else rest
    assert all(small <= large for small, large in zip(held, rest if fit != "crop" else whole, strict=True))


def test_padding_keeps_the_shape_between_black_bars_and_cropping_cuts_the_sides() -> None:
    disc = np.full((120, 160, 3), 200, np.uint8)
    y, x = np.mgrid[:120, :160]
    disc[(y - 60) ** 2 + (x - 80) ** 2 < 40**2] = (0, 200, 0)
    for fit, share in (("pad", 160), ("crop", 120), ("squash", 0)):
        resized = at_rest(disc, Framing(64, fit))  # type: ignore[arg-type]
        green = resized[..., 0] < 100
        if fit == "pad":
            assert (resized[:8] == 0).all()
            assert (resized[-8:] == 0).all()
            green[:8], green[-8:] = False, False
        high, wide = green.any(axis=1).sum(), green.any(axis=0).sum()
        assert abs(high - (80 / share if share else 80 / 120) * 64) <= 1
        assert abs(wide - (80 / share if share else 80 / 160) * 64) <= 1


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(96, 128), (40, 64)])
def test_pictures_and_videos_come_to_rest_alike(tmp_path: Path, fit: Fit, size: tuple[int, int]) -> None:
    video.encode(tmp_path / "a.mp4", [smooth(*size)] * 3, 10.0)
    shown = video.decode(tmp_path / "a.mp4", 64, how=fit).frames
    stored = jpeg.fit([simplejpeg.encode_jpeg(smooth(*size), 95, "RGB", "444")], 64, how=fit)
    sizes = [(f.height, f.width, f.native_height, f.native_width) for f in (shown, stored)]
    assert sizes[0] == sizes[1] == (*Framing(64, fit).size(*size), *size)
    one, other = (simplejpeg.decode_jpeg(f.jpegs[0]).astype(int) for f in (shown, stored))
    assert one.shape[:2] == sizes[0][:2]
    assert np.abs(one - other).mean() < 3


def test_a_small_square_jpeg_keeps_its_bytes_with_any_fit() -> None:
    data = simplejpeg.encode_jpeg(smooth(64, 64), 71, "RGB", "444")
    assert all(jpeg.fit([data], 64, how=fit).jpegs == [data] for fit in FITS)
