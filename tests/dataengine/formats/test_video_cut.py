"""Many ranges of one video in one pass: every clip shows the frames of its time, whatever the codec and the start."""

import shutil
import struct
import subprocess
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
import simplejpeg

from dataengine.errors import RecordError
from dataengine.formats.byte_range import ByteRange
from dataengine.formats.video import film as films
from dataengine.formats.video import packets, video
from dataengine.formats.video import picture as pictures
from dataengine.formats.video.cut import cut
from tests.support.video_writer import X265, number_of, remux, write_video

COUNT, FPS = 150, 10
ENCODERS = {
    "h264, one key frame": ("mp4", "libx264", {"g": "250", "bf": "3", "crf": "12"}),
    "h264, a key frame every 20": ("mp4", "libx264", {"g": "20", "bf": "2", "crf": "12"}),
    "h264, open groups": ("mp4", "libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3:b-adapt=0", "crf": "12"}),
    "h264, open groups in mkv": ("mkv", "libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3", "crf": "12"}),
    "h264, open groups in ts": ("ts", "libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3", "crf": "12"}),
    "h264, refreshed bit by bit": ("mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}),
    "hevc, open groups": (
        "mp4",
        "libx265",
        {"x265-params": X265["x265-params"] + ":keyint=10:min-keyint=10:open-gop=1"},
    ),
    "hevc, closed groups": ("mkv", "libx265", {"x265-params": X265["x265-params"] + ":keyint=10:open-gop=0"}),
    "av1": ("mp4", "libsvtav1", {"g": "15", "crf": "8", "preset": "8", "svtav1-params": "lp=1"}),
    "vp9": ("webm", "libvpx-vp9", {"g": "15", "crf": "10", "b:v": "0", "cpu-used": "8", "auto-alt-ref": "1"}),
    "mpeg-4": ("mp4", "mpeg4", {"g": "12", "bf": "2", "qscale": "2"}),
    "mpeg-4 in avi": ("avi", "mpeg4", {"g": "12", "bf": "2", "qscale": "2"}),
}


@pytest.fixture(scope="module", params=ENCODERS)
def film(request, tmp_path_factory):
    suffix, codec, options = ENCODERS[request.param]
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    return write_video(tmp_path_factory.mktemp("film") / f"film.{suffix}", range(COUNT), FPS, codec, options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("film") / "plain.mp4", range(60))


def shown(clip):
    assert not isinstance(clip, RecordError), clip
    return [number_of(simplejpeg.decode_jpeg(data)) for data in clip.frames.jpegs]


def cut_all(path, ranges, rate_hz=None, **kwargs):
    return dict(cut(path, ranges, 160, rate_hz, **kwargs))


@pytest.mark.parametrize("rate_hz", [None, "own"])
def test_a_clip_may_begin_at_any_frame(film, monkeypatch, rate_hz):
    monkeypatch.setattr(films, "JUMP_FRAMES", 1)
    monkeypatch.setattr(films, "BLIND_JUMP_S", 0.1)
    rate_hz = float(FPS) if rate_hz else None
    for first in range(COUNT - 2):
        clips = cut_all(film, [(first / FPS, (first + 3) / FPS)], rate_hz)[0]
        assert shown(clips) == [first, first + 1, first + 2]
        assert clips.start_s == pytest.approx(first / FPS, abs=2e-3)


def test_overlapping_ranges_come_out_of_one_pass(film, monkeypatch):
    encoded = []
    take = pictures.Shrinker.take
    monkeypatch.setattr(pictures.Shrinker, "take", lambda self, frame: encoded.append(frame.pts) or take(self, frame))
    ranges = [(first / FPS, min(first + 9, COUNT) / FPS) for first in range(0, COUNT - 2, 2)]
    clips = cut_all(film, ranges)
    for i, (start_s, end_s) in enumerate(ranges):
        assert shown(clips[i]) == list(range(round(start_s * FPS), round(end_s * FPS)))
    assert len(encoded) == len(set(encoded)) == COUNT


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_pictures_that_are_left_out_change_nothing(tmp_path, monkeypatch, suffix):
    random = np.random.default_rng(7)
    uneven_ms = np.cumsum(random.choice([17, 33, 33, 33, 34, 66, 250], 400)).tolist()
    options = {"x264-params": "keyint=60:bframes=3:b-pyramid=normal:b-adapt=0", "crf": "12"}
    times_ms = None if suffix == "avi" else uneven_ms
    path = write_video(tmp_path / f"many.{suffix}", range(400), 30, "libx264", options, times_ms)
    starts_s = random.uniform(-1, 18, 40)
    ranges = list(zip(starts_s, starts_s + random.uniform(0.5, 4, 40), strict=True))
    decoded = []
    going = films.FrameDecoder.next
    monkeypatch.setattr(films.FrameDecoder, "next", lambda self: decoded.append(1) or going(self))
    for rate_hz in (1.0, 3.0, 10.0):
        clips = cut_all(path, ranges, rate_hz)
        num_decoded = len(decoded)
        with monkeypatch.context() as patch:
            patch.setattr(packets, "SKIPPING", ())
            plain = cut_all(path, ranges, rate_hz)
        assert (num_decoded < 0.8 * (len(decoded) - num_decoded)) == (suffix != "avi" and rate_hz < 10)
        decoded.clear()
        for i in clips:
            if isinstance(plain[i], RecordError):
                assert str(clips[i]) == str(plain[i])
                continue
            assert list(clips[i].frames.jpegs) == list(plain[i].frames.jpegs)
            np.testing.assert_array_equal(clips[i].time_s, plain[i].time_s)
            assert (clips[i].start_s, clips[i].clamped) == (plain[i].start_s, plain[i].clamped)


def test_memory_holds_the_ranges_that_are_open(tmp_path):
    path = write_video(tmp_path / "long.mp4", range(1200), 10)
    ranges = [(k / 2, k / 2 + 1) for k in range(238)]
    sizes = [sum(map(len, clip.frames.jpegs)) for _, clip in cut(path, ranges, 160, 10.0)]
    tracemalloc.start()
    try:
        for _ in cut(path, ranges, 160, 10.0):
            pass
        assert tracemalloc.get_traced_memory()[1] < sum(sizes) / 4
    finally:
        tracemalloc.stop()


def test_ranges_far_apart_are_sought_and_those_near_are_not(tmp_path, monkeypatch):
    path = write_video(tmp_path / "long.mp4", range(600), 20)
    decoded = []
    going = films.FrameDecoder.next
    monkeypatch.setattr(films.FrameDecoder, "next", lambda self: decoded.append(going(self)) or decoded[-1])
    near = cut_all(path, [(1.0, 2.0), (2.2, 3.0)])
    assert len(decoded) <= 62
    decoded.clear()
    far = cut_all(path, [(1.0, 2.0), (2.2, 3.0), (28.0, 29.0)])
    assert len(decoded) <= 62 + 41
    assert shown(far[0]) == shown(near[0]) == list(range(20, 40))
    assert shown(far[2]) == list(range(560, 580))


def test_a_clip_of_the_whole_file_is_what_decoding_it_gives(film):
    for rate_hz in (None, 4.0, 7.0):
        clip, whole = cut_all(film, [(0, 1e3)], rate_hz)[0], video.decode(film, 160, rate_hz)
        size = len(whole.frames.jpegs)
        assert list(clip.frames.jpegs)[:size] == list(whole.frames.jpegs)
        assert len(clip.frames.jpegs) - size in ((0, 1) if rate_hz else (0,))  # the last picture is shown for a while
        assert clip.rate_hz == pytest.approx(whole.rate_hz, rel=1e-3)
        assert "past the video's end" in clip.clamped


def test_instants_begin_with_the_range_and_end_before_its_end(plain):
    clips = cut_all(plain, [(0.5, 1.5), (0.52, 1.5), (0.54, 1.0), (0.0, 3.0)], 10.0)
    assert shown(clips[0]) == list(range(10, 30, 2))
    assert shown(clips[1]) == list(range(10, 30, 2))
    assert shown(clips[2]) == [11, 13, 15, 17, 19]
    assert shown(clips[3]) == list(range(0, 60, 2))
    assert (clips[0].rate_hz, clips[0].clamped, clips[3].clamped) == (10, "", "")
    np.testing.assert_allclose(clips[2].time_s, np.arange(5) / 10, atol=1e-6)


def test_a_stream_slower_than_asked_keeps_its_rate(plain):
    clips = cut_all(plain, [(1.0, 2.0)], 50.0)[0]
    assert (shown(clips), clips.rate_hz) == (list(range(20, 40)), 20)


def test_what_a_range_wants_beyond_the_video_is_told(plain):
    ranges = [(-0.5, 0.5), (2.5, 4.0), (3.5, 4.0), (-2, -1), (1.0, 1.0), (2.0, 1.0), (float("nan"), 1), (1.0, 1.04)]
    clips = cut_all(plain, ranges, 20.0)
    assert (shown(clips[0]), clips[0].clamped) == (list(range(10)), "begins 0.50 s before the video")
    assert (shown(clips[1]), clips[1].clamped) == (list(range(50, 60)), "ends 1.00 s past the video's end")
    reasons = [
        "3.50 to 4.00 s lies past the end of the video, which lasts 3.00 s",
        "-2.00 to -1.00 s lies before the video",
        "1.00 to 1.00 s ends before it begins; expected start < end",
        "2.00 to 1.00 s ends before it begins; expected start < end",
        "nan to 1.00 s is no stretch of time; expected seconds",
        "1.00 to 1.04 s has 1 frames at 20 in a second, needs 2; make it longer",
    ]
    assert [str(clips[i]) for i in range(2, 8)] == [f"plain.mp4: {reason}" for reason in reasons]


def test_clips_come_in_order_of_their_ends_as_soon_as_they_are_past(plain, monkeypatch):
    played = []
    going = films.FrameDecoder.next
    monkeypatch.setattr(films.FrameDecoder, "next", lambda self: played.append(1) or going(self))
    order = [(i, len(played)) for i, _ in cut(plain, [(0, 3), (0.5, 1), (0, 0.5), (0.2, 1), (9, 8)], 160, 20.0)]
    assert [i for i, _ in order] == [4, 2, 1, 3, 0]
    assert [count <= limit for (_, count), limit in zip(order, (0, 12, 22, 22, 62), strict=True)] == [True] * 5


def shifted(plain, folder):
    """Give files whose pictures do not begin at 0, with the time of their first frame as players count it."""
    yield remux(plain, folder / "late_alone.mp4", 1.5), 0.0, 0
    yield remux(plain, folder / "late_alone.mkv", 1.5), 0.0, 0
    yield remux(plain, folder / "hours.ts", 3600.0), 0.0, 0
    yield remux(plain, folder / "trimmed.mp4", -0.5, {"avoid_negative_ts": "disabled", "use_editlist": "1"}), 0.0, 10
    yield remux(plain, folder / "offsets.mp4", options={"movflags": "negative_cts_offsets"}), 0.0, 0
    for name in ("after_sound.mp4", "after_sound.mkv", "after_sound.ts"):
        yield with_sound(plain, folder / name, 0.75), 0.75, 0


def with_sound(source, path, later_s):
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        sound = container.add_stream("mp2" if path.suffix == ".ts" else "aac", rate=48000)
        old = given.streams.video[0]
        new = container.add_stream_from_template(old)
        written = []
        for k in range(188):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            if path.suffix == ".ts":
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
            frame.rate, frame.pts, frame.time_base = 48000, k * frame.samples, Fraction(1, 48000)
            written += sound.encode(frame)
        written += sound.encode(None)
        for packet in given.demux(old):
            if packet.dts is not None:
                shift = round(later_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, new
                written.append(packet)
        for packet in sorted(written, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def test_times_are_those_that_players_show(tmp_path, plain):
    for path, first_s, first in shifted(plain, tmp_path):
        for rate_hz in (None, 20.0):
            clips = cut_all(path, [(first_s, first_s + 0.5), (first_s + 1.0, first_s + 1.5), (0, 9)], rate_hz)
            assert abs(clips[0].start_s - first_s) < 0.05, path.name
            assert shown(clips[0])[:9] == list(range(first, first + 9)), path.name
            assert shown(clips[1])[1:9] == list(range(first + 21, first + 29)), path.name
            late = f"begins {clips[2].start_s:.2f} s before the first picture"
            assert (late in clips[2].clamped) == (first_s > 0), path.name


def test_a_file_that_an_edit_list_puts_together_shows_its_pieces(tmp_path):
    path = write_video(tmp_path / "pieces.mp4", range(60), 20, options={"g": "10", "bf": "0", "crf": "12"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst")
    scale = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4], "big")
    pieces = [(1000, 0, 1 << 16), (1000, 2 * scale, 1 << 16)]  # the first second, then the third
    data[at + 8 : at + 24] = struct.pack(">I", 2) + b"".join(struct.pack(">IiI", *piece) for piece in pieces)
    for name in (b"moov", b"trak", b"edts", b"elst"):  # moov comes last: nothing behind it moves
        size = data.index(name) - 4
        data[size : size + 4] = struct.pack(">I", int.from_bytes(data[size : size + 4], "big") + 12)
    path.write_bytes(data)
    clips = cut_all(path, [(0.0, 0.5), (1.5, 1.9), (0.8, 1.2)], 20.0)
    assert shown(clips[0]) == list(range(10))
    assert shown(clips[1]) == list(range(50, 58))
    assert shown(clips[2]) == [16, 17, 18, 19, 40, 41, 42, 43]


DAMAGED = {
    "h264": ("damaged.mp4", "libx264", {"g": "20", "bf": "2", "crf": "12"}),
    "h264, open groups": ("damaged.mp4", *ENCODERS["h264, open groups"][1:]),
    "hevc, open groups": ("damaged.mp4", *ENCODERS["hevc, open groups"][1:]),
    "vp9": ("damaged.webm", *ENCODERS["vp9"][1:]),
    "av1": ("damaged.mp4", *ENCODERS["av1"][1:]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_costs_the_ranges_that_touch_it_and_no_other(tmp_path, name):
    suffix, codec, options = DAMAGED[name]
    path = write_video(tmp_path / suffix, range(COUNT), FPS, codec, options)
    with av.open(str(path)) as container:
        stored = [packet for packet in container.demux(video=0) if packet.pts is not None]
        hit = next(packet for packet in stored[70:] if not packet.is_keyframe and packet.size > 40)
        lost = round(float(hit.pts * hit.time_base) * FPS)
        sound = [round(float(packet.pts * packet.time_base) * FPS) for packet in stored if packet.is_keyframe]
        data = bytearray(path.read_bytes())
        spared = 16 if suffix.endswith("webm") else 0  # or else the demuxer, too, loses its way
        data[hit.pos + spared : hit.pos + hit.size] = b"\xff" * (hit.size - spared)
        path.write_bytes(data)
    again = min(number for number in sound if number > lost)
    ranges = [(first / FPS, (first + 5) / FPS) for first in range(0, COUNT - 5, 5)]
    ranges += [((lost - 8) / FPS, lost / FPS), (lost / FPS, (lost + 5) / FPS), (again / FPS, (again + 6) / FPS)]
    held_back = 4  # pictures shown before the damaged one may be decoded after it
    for rate_hz in (None, float(FPS)):
        clips = cut_all(path, ranges, rate_hz)
        assert sorted(clips) == list(range(len(ranges)))
        for i, (start_s, end_s) in enumerate(ranges):
            first, last = round(start_s * FPS), round(end_s * FPS)
            if last <= lost - held_back or first >= again:
                assert shown(clips[i]) == list(range(first, last))
            elif isinstance(clips[i], RecordError):
                assert "is damaged from" in str(clips[i])
        assert isinstance(clips[len(ranges) - 2], RecordError)


def test_a_file_that_is_cut_short_costs_the_ranges_that_it_lacks(tmp_path, plain):
    fast = remux(plain, tmp_path / "fast.mp4", options={"movflags": "faststart"})
    stream = remux(plain, tmp_path / "plain.mkv")
    for path in (fast, stream):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        clips = cut_all(path, [(0, 0.5), (2.5, 3.0), (0.2, 1.0), (0.9, 2.9)], 10.0)
        assert shown(clips[0]) == list(range(0, 10, 2))
        assert shown(clips[2]) == list(range(4, 20, 2))
        assert "truncated?" in str(clips[1])
        assert "truncated?" in str(clips[3])


def test_a_gap_costs_the_ranges_that_hold_it(tmp_path):
    times_ms = [*range(0, 2000, 100), *range(9000, 11000, 100)]
    path = write_video(tmp_path / "paused.mp4", range(40), times_ms=times_ms)
    clips = cut_all(path, [(0, 1), (1.5, 9.5), (9.2, 10.2), (4, 5), (1.5, 2.0), (9.0, 11.0)], 10.0)
    assert [shown(clips[i]) for i in (0, 2, 4, 5)] == [
        [*range(10)],
        [*range(22, 32)],
        [*range(15, 20)],
        [*range(20, 40)],
    ]
    for i in (1, 3):
        assert "shows nothing between 1.90 s and 9.00 s; cut it into two there" in str(clips[i])


def test_files_that_are_no_video_say_so_once(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    for name, reason in (("none.mp4", "is missing"), ("empty.mp4", "has 0 bytes"), ("sound.mp4", "has no video")):
        with pytest.raises(RecordError, match=f"{name}: .*{reason}"):
            cut_all(tmp_path / name, [(0, 1), (1, 2)])


@pytest.mark.parametrize("error", [MemoryError, ValueError, av.error.InvalidDataError(0, "damaged")])
def test_whatever_a_demuxer_raises_at_the_start_is_an_error_of_the_video(plain, monkeypatch, error):
    def demux(*_):
        raise error

    monkeypatch.setattr(films, "Player", demux)
    with pytest.raises(RecordError, match=r"^plain.mp4: cannot be decoded \("):
        cut_all(plain, [(0, 1)])


def test_a_video_within_a_tar_and_one_eye_of_a_pair(tmp_path, plain):
    data = plain.read_bytes()
    (tmp_path / "some.tar").write_bytes(b"x" * 512 + data + b"x" * 100)
    inside = ByteRange(tmp_path / "some.tar", 512, len(data), "plain.mp4")
    assert shown(cut_all(inside, [(1, 2)])[0]) == list(range(20, 40))
    half = cut_all(plain, [(1, 2)], region=(0.0, 0.0, 0.5, 1.0))[0].frames
    assert (half.native_height, half.native_width, half.height, half.width) == (96, 80, 96, 80)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on PATH")
def test_a_region_of_a_picture_that_is_turned(tmp_path, plain):
    path = tmp_path / "turned.mp4"
    command = ["ffmpeg", "-v", "error", "-display_rotation", "90", "-i", str(plain), "-c", "copy", str(path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        with av.open(str(plain)) as given, av.open(str(path), "w") as container:
            old = given.streams.video[0]
            new = container.add_stream_from_template(old)
            new.set_display_rotation(90)
            for packet in given.demux(old):
                if packet.dts is not None:
                    packet.stream = new
                    container.mux(packet)
    whole = simplejpeg.decode_jpeg(cut_all(path, [(0, 1)])[0].frames.jpegs[0])
    upper = simplejpeg.decode_jpeg(cut_all(path, [(0, 1)], region=(0, 0, 1, 0.25))[0].frames.jpegs[0])
    assert whole.shape == (160, 96, 3)
    assert upper.shape == (40, 96, 3)
    assert np.abs(upper.astype(int) - whole[:40]).mean() < 3
