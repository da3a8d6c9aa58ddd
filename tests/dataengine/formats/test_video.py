"""Video: what time, size and orientation a decoded clip has, and what a damaged file says."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from dataengine.errors import RecordError
from dataengine.formats.video import header, video

LEVEL = 5
"""Frame i of a test clip has a lower half as bright as this times i."""


def numbered(count: int, height: int = 96, width: int = 128) -> Iterator[np.ndarray]:
    for i in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2, : width // 2, 0] = 255  # red in the top left corner
        image[height // 2 :] = LEVEL * i
        yield image


def numbers(clip: video.Clip) -> list[int]:
    levels = [simplejpeg.decode_jpeg(data)[-32:].mean() for data in clip.frames.jpegs]
    return [round(float(level) / LEVEL) for level in levels]


def damaged(source: Path, target: Path, start: float, count: int = 60) -> Path:
    data = bytearray(source.read_bytes())
    at = int(len(data) * start)
    data[at : at + count] = b"\xaa" * len(data[at : at + count])
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(("codec", "suffix"), [("av1", "mp4"), ("vp9", "webm"), ("h264", "mp4")])
def test_what_is_encoded_is_decoded_frame_by_frame(tmp_path: Path, codec: video.Codec, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    video.encode(path, numbered(30), 30, codec)
    clip = video.decode(path, 128)
    assert numbers(clip) == list(range(30))
    assert clip.rate_hz == pytest.approx(30, rel=1e-2)
    info = header.probe(path)
    assert (info.height, info.width, info.rate_hz) == (96, 128, 30)
    assert info.duration_s == pytest.approx(1.0, abs=0.01)


def test_resampling_takes_the_nearest_frame_and_never_drifts(tmp_path: Path) -> None:
    path = tmp_path / "clip.webm"
    video.encode(path, numbered(48), 12, "vp9")
    clip = video.decode(path, 128, rate_hz=10)
    nearest = [int(np.argmin(np.abs(np.round(np.arange(48) * 1000 / 12) - 100 * k))) for k in range(40)]
    assert numbers(clip) == nearest
    assert clip.rate_hz == 10


def test_a_stream_of_variable_rate_is_resampled_by_its_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    times_ms = [0, 10, 20, 500, 510, 900, 1000]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, time_ms in zip(numbered(len(times_ms)), times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = video.decode(path, 128, rate_hz=5)  # at 0, 200, 400, 600, 800 and 1000 ms
    assert numbers(clip) == [0, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(clip.time_s, [0, 0.02, 0.5, 0.51, 0.9, 1.0], atol=2e-3)


def test_a_stream_slower_than_asked_keeps_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.webm"
    video.encode(path, numbered(12), 4, "vp9")
    clip = video.decode(path, 128, rate_hz=10)
    assert (numbers(clip), clip.rate_hz) == (list(range(12)), 4)


def test_frames_are_scaled_to_a_square_only_when_too_large(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    video.encode(path, numbered(3), 10)
    small, large = video.decode(path, 64).frames, video.decode(path, 128).frames
    assert (small.height, small.width, small.native_height, small.native_width) == (64, 64, 96, 128)
    assert (large.height, large.width, large.native_height, large.native_width) == (96, 128, 96, 128)
    assert simplejpeg.decode_jpeg_header(small.jpegs[0])[:2] == (64, 64)
    assert simplejpeg.decode_jpeg_header(large.jpegs[0]) == (96, 128, "YCbCr", "420")


def test_a_clip_marked_as_turned_comes_upright(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    video.encode(path, numbered(3), 10)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    assert data[matrix : matrix + 4] == struct.pack(">i", one)
    # QuickTime's matrix: x' = -y + 96, y' = x, which is a quarter turn clockwise.
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 96 * one, 0, 1 << 30)
    path.write_bytes(data)
    frames = video.decode(path, 128).frames
    assert (frames.height, frames.width, frames.native_height, frames.native_width) == (128, 96, 128, 96)
    red = simplejpeg.decode_jpeg(frames.jpegs[0])[..., 0] > 128
    assert red[:60, 52:].all()  # what was top left is top right
    assert not red[:, :44].any()
    assert not red[68:].any()
    padded = simplejpeg.decode_jpeg(video.decode(path, 128, how="pad").frames.jpegs[0]).astype(int)
    assert padded.shape == (128, 128, 3)
    assert padded[:, :15].max() < 12
    assert padded[:, -15:].max() < 12
    assert np.abs(padded[:, 16:112] - simplejpeg.decode_jpeg(frames.jpegs[0])).mean() < 2


def test_a_missing_an_empty_and_a_foreign_file_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video" * 50)
    for name, reason in (
        ("none.mp4", "none.mp4: the video is missing"),
        ("empty.mp4", "empty.mp4: the video has 0 bytes"),
        ("text.mp4", "text.mp4: not a readable video (Invalid data found when processing input, 550 bytes)"),
    ):
        for read in (header.probe, lambda path: video.decode(path, 64)):
            with pytest.raises(RecordError) as error:
                read(tmp_path / name)
            assert str(error.value) == reason


@pytest.mark.parametrize(("codec", "suffix"), [("av1", "mp4"), ("vp9", "webm"), ("h264", "mp4")])
def test_a_cut_file_is_an_error_of_one_line(tmp_path: Path, codec: video.Codec, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    rng = np.random.default_rng(0)
    video.encode(path, (rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(48)), 12, codec)
    for share in (0.02, 0.5, 0.9):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(RecordError, match=cut.name) as error:
            video.decode(cut, 64)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("codec", "suffix"), [("av1", "mp4"), ("vp9", "webm"), ("h264", "mp4")])
def test_damaged_bytes_cost_the_clip_or_are_concealed_by_the_decoder(
    tmp_path: Path, codec: video.Codec, suffix: str
) -> None:
    path = tmp_path / f"clip.{suffix}"
    video.encode(path, numbered(48), 12, codec)
    for start in (0.0, 0.3, 0.6, 0.9):
        bad = damaged(path, tmp_path / f"bad.{suffix}", start)
        try:
            clip = video.decode(bad, 64)
            assert (np.diff(clip.time_s) >= 0).all()
            assert len(clip.frames.jpegs) >= 40
        except RecordError as error:
            assert "\n" not in str(error)
