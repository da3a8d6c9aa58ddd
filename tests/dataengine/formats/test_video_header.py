"""What a video says of itself, without a picture of it being decoded."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from dataengine.errors import RecordError
from dataengine.formats.video import header, video
from dataengine.formats.video.cut import cut
from dataengine.formats.video.picture import Turn, turn_of
from tests.support import bad_videos
from tests.support.video_writer import coded, remux, write_video


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("plain") / "plain.mp4", range(60))


def shown(source: Path, path: Path, rotation: int = 0, *, mirror: bool = False) -> Path:
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        old = given.streams.video[0]
        new = container.add_stream_from_template(old)
        new.set_display_rotation(rotation, hflip=mirror)
        for packet in given.demux(old):
            if packet.dts is not None:
                packet.stream = new
                container.mux(packet)
    return path


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_turn_is_that_of_the_decoded_pictures(tmp_path: Path, plain: Path, rotation: int, mirror: bool) -> None:
    path = shown(plain, tmp_path / "turned.mp4", rotation, mirror=mirror)
    info, frames = header.probe(path), video.decode(path, 160).frames
    assert (info.height, info.width) == (96, 160)
    assert info.shown_size == (frames.native_height, frames.native_width)
    with av.open(str(path)) as container:
        assert info.turn == turn_of(next(container.decode(video=0)))
    assert (info.turn == Turn()) == (rotation == 0 and not mirror)


def test_a_slant_is_refused(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(RecordError, match=r"slanted.mp4: is shown at a slant"):
        header.probe(shown(plain, tmp_path / "slanted.mp4", 30))


def anamorphic(path: Path, aspect: Fraction) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pixels_may_be_wider_than_high(tmp_path: Path, suffix: str) -> None:
    path = anamorphic(tmp_path / f"wide.{suffix}", Fraction(4, 3))
    info = header.probe(path)
    assert (info.sample_aspect, info.shown_size) == (pytest.approx(4 / 3), (96, 213))
    ((_, clip),) = cut(path, [(0, 0.4)], 213, None)
    half = next(outcome for _, outcome in cut(path, [(0, 0.4)], 213, None, region=(0, 0, 0.5, 1)))
    frames = video.decode(path, 213).frames
    assert isinstance(clip, video.Clip)
    assert isinstance(half, video.Clip)
    for cut_frames, width in ((frames, 213), (clip.frames, 213), (half.frames, 107)):
        assert (cut_frames.native_height, cut_frames.native_width, cut_frames.height, cut_frames.width) == (
            96,
            width,
            96,
            width,
        )
        assert simplejpeg.decode_jpeg(cut_frames.jpegs[0]).shape == (96, width, 3)
    assert next(video.pictures(path, 10))[1].shape == (96, 213, 3)
    padded = simplejpeg.decode_jpeg(video.decode(path, 128, how="pad").frames.jpegs[3])
    lit = np.flatnonzero(padded.mean(axis=(1, 2)) > 12)
    assert len(lit) == pytest.approx(128 * 96 / 213, abs=2)


def test_a_turned_picture_has_its_pixels_turned(tmp_path: Path) -> None:
    upright = anamorphic(tmp_path / "wide.mp4", Fraction(4, 3))
    path = shown(upright, tmp_path / "turned.mp4", 90)
    frames = video.decode(path, 213).frames
    assert header.probe(path).shown_size == (frames.native_height, frames.native_width) == (213, 96)


def test_pixels_that_are_nearly_square_count_as_square(tmp_path: Path) -> None:
    path = anamorphic(tmp_path / "even.mp4", Fraction(320, 321))
    assert header.probe(path).shown_size == (96, 160)
    assert video.decode(path, 160).frames.native_width == 160


def test_pixels_of_an_absurd_shape_are_damage(tmp_path: Path) -> None:
    path = anamorphic(tmp_path / "absurd.mp4", Fraction(9, 1))
    for read in (header.probe, lambda path: video.decode(path, 64), lambda path: list(cut(path, [(0, 1)], 64, 10))):
        with pytest.raises(RecordError, match=r"^absurd.mp4: claims that pixels are 9 times as wide as high"):
            read(path)


def test_rate_and_times(tmp_path: Path, plain: Path) -> None:
    info = header.probe(plain)
    assert (info.codec, info.num_frames, info.rate_hz, info.is_variable_rate) == ("h264", 60, 20, False)
    assert (info.start_s, info.duration_s, info.end_s) == (0, 3, 3)
    assert [edit.lasts_s for edit in info.edits] == [3]
    for suffix in ("mkv", "ts", "webm"):
        path = tmp_path / f"even.{suffix}"
        if suffix == "webm":
            write_video(path, range(60), 30, "libvpx-vp9")
        else:
            remux(plain, path)
        assert not header.probe(path).is_variable_rate
    for suffix in ("mp4", "mkv"):
        times_ms = [0, 33, 67, 100, 133, 250, 283, 317, 350, 383]
        uneven = header.probe(write_video(tmp_path / f"uneven.{suffix}", range(10), times_ms=times_ms))
        assert uneven.is_variable_rate
    late_ms = [*range(0, 4000, 50), *range(4500, 6000, 50)]
    assert header.probe(write_video(tmp_path / "dropped.mp4", range(len(late_ms)), times_ms=late_ms)).is_variable_rate


def test_an_edit_list_is_told(tmp_path: Path, plain: Path) -> None:
    trimmed = remux(plain, tmp_path / "cut.mp4", -0.5, {"avoid_negative_ts": "disabled", "use_editlist": "1"})
    first = header.probe(plain).edits[0].from_s or 0
    assert [edit.from_s for edit in header.probe(trimmed).edits] == [pytest.approx(first + 0.5)]
    late = header.probe(remux(plain, tmp_path / "late.mp4", 1.5))
    assert [(edit.from_s is None, round(edit.lasts_s, 2)) for edit in late.edits] == [(True, 1.5), (False, 3.0)]


def test_a_picture_that_comes_after_the_sound_starts_late(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "late.mp4"
    with av.open(str(plain)) as given, av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        old = given.streams.video[0]
        new = container.add_stream_from_template(old)
        for k in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate, frame.pts, frame.time_base = 48000, k * 1024, Fraction(1, 48000)
            container.mux(sound.encode(frame))
        for packet in given.demux(old):
            if packet.dts is not None:
                shift = round(0.75 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, new
                container.mux(packet)
    info = header.probe(path)
    assert info.start_s == pytest.approx(0.75, abs=0.05)
    assert info.end_s == pytest.approx(3.75, abs=0.05)


def test_a_last_picture_that_comes_late_ends_the_video(tmp_path: Path) -> None:
    """With B-frames the stream's duration counts times of decoding, which end earlier."""
    path = write_video(tmp_path / "late.mp4", range(21), times_ms=[*range(0, 2000, 100), 5000])
    assert header.probe(path).end_s == pytest.approx(5.03, abs=0.1)


def test_a_video_that_does_not_say_how_long_it_is_is_measured(tmp_path: Path) -> None:
    bad_videos.write_live_webm(path := tmp_path / "live.webm")
    assert header.probe(path).end_s == 0
    assert header.measured_end_s(path) == pytest.approx(bad_videos.NUM_FRAMES / bad_videos.RATE_HZ, abs=0.005)
    path.write_bytes(path.read_bytes()[:-400])
    assert 1 < header.measured_end_s(path) < 3.3
