"""Whole files that look cut, cut files that look whole, gaps, and headers that claim what nobody records."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from dataengine.errors import NoCameraError, RecordError
from dataengine.formats.byte_range import ByteRange
from dataengine.formats.video import header, video
from dataengine.formats.video import picture as video_picture
from dataengine.formats.video import stream as video_stream
from tests.support.video_writer import X265, coded, number_of, remux, write_video


def numbers(path: Path) -> list[int]:
    return [number_of(simplejpeg.decode_jpeg(data)) for data in video.decode(path, 160).frames.jpegs]


def shown(path: Path, rate_hz: float = 20.0) -> list[int]:
    return [number_of(picture) for _, picture in video.pictures(path, rate_hz)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("plain") / "plain.mp4", range(60))


def whole_files(folder: Path, plain: Path) -> list[Path]:
    return [
        write_video(folder / "screen.mp4", range(60), last_ms=1500),
        write_video(folder / "screen.mkv", range(60), last_ms=1500),
        remux(plain, folder / "late.mkv", 1.5),
        remux(plain, folder / "late.mp4", 1.5),
        remux(plain, folder / "late.ts", 1.5),
        remux(plain, folder / "late.flv", 1.5),
        remux(plain, folder / "in_fragments.mp4", options={"movflags": "frag_keyframe+empty_moov"}),
        remux(plain, folder / "index_first.mp4", options={"movflags": "faststart"}),
        write_video(folder / "old.avi", range(60)),
        write_video(folder / "old.mpg", range(60), 25, "mpeg2video", {"qscale": "2", "bf": "2"}),
        write_video(folder / "older.avi", range(60), codec="mpeg4", options={"qscale": "2"}),
        write_video(folder / "late.webm", range(60), codec="libvpx-vp9", times_ms=[1500 + 50 * k for k in range(60)]),
        write_video(folder / "anything.gif", range(60), codec="gif", last_ms=3000),
    ]


def test_a_file_is_whole_whatever_its_header_says_of_time(tmp_path: Path, plain: Path) -> None:
    for path in whole_files(tmp_path, plain):
        assert numbers(path) == list(range(60)), path.name
        if path.suffix != ".mpg":  # two of its frames have one time
            assert shown(path) == list(range(60)), path.name


def lists_of_other_files(secret: Path, itself: str) -> dict[str, str]:
    return {
        "ffconcat by name": f"ffconcat version 1.0\nfile {secret.name}\n",
        "ffconcat by path": f"ffconcat version 1.0\nfile '{secret}'\n",
        "ffconcat of itself": "ffconcat version 1.0\n" + f"file {itself}\n" * 3,
        "HLS": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n{secret}\n#EXT-X-ENDLIST\n",
        "SDP": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    }


@pytest.mark.parametrize("name", ["clip.webm", "file-000.mp4", "list.m3u8"])
def test_a_list_of_other_files_is_no_video_whatever_it_is_called(tmp_path: Path, plain: Path, name: str) -> None:
    (tmp_path / "leak.ts").symlink_to(remux(plain, tmp_path.parent / f"secret of {name}.ts"))
    path = tmp_path / name
    for kind, contents in lists_of_other_files(tmp_path / "leak.ts", name).items():
        path.write_text(contents)
        inputs: list[Path | ByteRange] = [path, ByteRange(path, 0, path.stat().st_size, name)]
        for source in inputs:
            with pytest.raises(RecordError) as error:
                video.decode(source, 160)
            reason = "no video container that is read" if kind.startswith("ffconcat") else "no"
            assert str(error.value).startswith(f"{name}: {reason}"), kind
            assert "\n" not in str(error.value), kind


def test_a_pattern_of_pictures_and_a_picture_are_no_video(tmp_path: Path) -> None:
    for name in ("0.jpg", "1.jpg", "%d.jpg"):
        (tmp_path / name).write_bytes(simplejpeg.encode_jpeg(coded(1)))
    with pytest.raises(RecordError, match=r"^%d\.jpg: no video container that is read"):
        video.decode(tmp_path / "%d.jpg", 160)


def test_every_container_is_read_within_another_file_as_by_itself(tmp_path: Path, plain: Path) -> None:
    for path in whole_files(tmp_path, plain):
        within = tmp_path / "around"
        within.write_bytes(b"before" + path.read_bytes() + b"behind")
        clip = video.decode(ByteRange(within, 6, path.stat().st_size, path.name), 160)
        assert [number_of(simplejpeg.decode_jpeg(data)) for data in clip.frames.jpegs] == list(range(60)), path.name


def test_a_cut_file_is_found_in_every_container(tmp_path: Path, plain: Path) -> None:
    for path in whole_files(tmp_path, plain):
        if path.suffix in (".ts", ".mpg"):  # a broadcast: it states no length, what is there is all there is
            continue
        cut = tmp_path / f"cut_{path.name}"
        cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        for read in (numbers, shown):
            with pytest.raises(
                RecordError, match=f"^{cut.name}: (has|ends at|not a readable|cannot be decoded)"
            ) as error:
                read(cut)
            assert "\n" not in str(error.value)


OPEN = {
    "h264": ("libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3:b-adapt=0", "crf": "12"}),
    "hevc": ("libx265", {"x265-params": X265["x265-params"] + ":keyint=10:min-keyint=10:open-gop=1"}),
}


@pytest.mark.parametrize("codec", OPEN)
def test_a_recording_cut_within_an_open_group_begins_with_its_first_sound_frame(tmp_path: Path, codec: str) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(60), 20, *OPEN[codec])
    with av.open(str(whole)) as given, av.open(str(tmp_path / "cut.mkv"), "w") as container:
        old = given.streams.video[0]
        packets = [packet for packet in given.demux(old) if packet.dts is not None]
        at = [i for i, packet in enumerate(packets) if packet.is_keyframe][2]
        first = round(float(packets[at].pts * packets[at].time_base) * 20)
        assert any(packet.pts < packets[at].pts for packet in packets[at:])
        new = container.add_stream_from_template(old)
        for packet in packets[at:]:
            packet.stream = new
            container.mux(packet)
    assert numbers(tmp_path / "cut.mkv") == list(range(first, 60))


def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path, plain: Path) -> None:
    path = remux(plain, tmp_path / "trimmed.mp4", -0.525, {"avoid_negative_ts": "disabled", "use_editlist": "1"})
    assert b"elst" in path.read_bytes()
    assert numbers(path) == shown(path) == list(range(11, 60))


def test_a_cover_is_not_the_video(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "covered.mp4"
    with av.open(str(plain)) as given, av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 96, 160, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        old = given.streams.video[0]
        new = container.add_stream_from_template(old)
        container.mux(cover.encode(av.VideoFrame.from_ndarray(coded(999), format="rgb24").reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        for packet in given.demux(old):
            if packet.dts is not None:
                packet.stream = new
                container.mux(packet)
    assert numbers(path) == list(range(60))
    assert shown(path) == list(range(60))


def test_frames_come_as_often_as_they_usually_do(tmp_path: Path) -> None:
    path = write_video(tmp_path / "screen.mp4", range(20), 10, last_ms=3000)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate < 5
    assert shown(path, 10) == list(range(20))
    assert video.decode(path, 160, 10).rate_hz == 10


def test_a_picture_that_stays_is_held_and_a_gap_is_not_filled(tmp_path: Path) -> None:
    times_ms = [0, 100, 200, 1700, 1800, 601_800, 601_900, 602_000]
    path = write_video(tmp_path / "paused.mp4", range(8), times_ms=times_ms)
    stretches = [
        (round(time_s, 2), number_of(picture), begins) for time_s, picture, begins in video.stretches(path, 10)
    ]
    assert [number for _, number, _ in stretches] == [0, 1] + [2] * 8 + [3] * 8 + [4] + [5, 6, 7]
    assert [time_s for time_s, _, begins in stretches if begins] == [0.0, 601.8]
    with pytest.raises(RecordError, match=r"paused.mp4: shows nothing between 1.80 s and 601.80 s; cut it into two"):
        video.decode(path, 160, 10)
    assert len(video.decode(path, 160).frames.jpegs) == 8


def test_two_time_stamps_far_apart_make_no_ten_million_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "gap.mkv", range(5), times_ms=[0, 33, 66, 100, 1_000_000_000])
    assert len(list(video.pictures(path, 10))) == 3
    with pytest.raises(RecordError, match=r"gap.mkv: shows nothing between 0.10 s and 1000000.00 s"):
        video.decode(path, 160, 10)


def test_a_clip_has_a_greatest_number_of_frames_and_bytes(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_picture, "MAX_FRAMES", 40)
    with pytest.raises(RecordError, match=r"plain.mp4: has more than 40 frames"):
        video.decode(plain, 64)
    monkeypatch.setattr(video_picture, "MAX_FRAMES", 60)
    assert len(video.decode(plain, 64).frames.jpegs) == 60
    monkeypatch.setattr(video_picture, "MAX_BYTES", 20_000)
    with pytest.raises(RecordError, match=r"plain.mp4: has more than \d+ frames, 0.00 GB of pictures"):
        video.decode(plain, 64)


def test_a_size_that_no_camera_has_is_refused_before_a_picture_is_made(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_stream, "MAX_PIXELS", 96 * 160 - 1)
    for read in (header.probe, numbers, shown):
        with pytest.raises(RecordError, match=r"plain.mp4: claims to be 160x96, more than any camera"):
            read(plain)


@pytest.mark.parametrize(
    ("name", "codec", "known", "unknown"),
    [("clip.webm", "libvpx-vp9", b"V_VP9", b"V_VXX"), ("clip.mp4", "libsvtav1", b"av01\0", b"zzzz\0")],
)
def test_an_unknown_codec_costs_one_clip(tmp_path: Path, name: str, codec: str, known: bytes, unknown: bytes) -> None:
    options = {"svtav1-params": "lp=1"} if codec == "libsvtav1" else {"deadline": "realtime"}
    path = write_video(tmp_path / name, range(5), codec=codec, options=options)
    path.write_bytes(path.read_bytes().replace(known, unknown))
    for read in (header.probe, numbers, shown):
        with pytest.raises(RecordError, match=rf"{name}: has a codec that is not known here"):
            read(path)


@pytest.mark.parametrize(
    "error", [IndexError("tuple index"), MemoryError(), UnicodeDecodeError("utf-8", b"", 0, 1, "")]
)
def test_whatever_a_decoder_raises_is_an_error_of_the_record(
    plain: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(packets: object, **kwargs: object) -> object:
        raise error

    monkeypatch.setattr(video_stream, "timed_frames", broken)
    for read in (numbers, shown):
        with pytest.raises(RecordError, match=f"plain.mp4: cannot be decoded \\({type(error).__name__}\\)"):
            read(plain)


def test_depth_is_no_camera_and_grey_is(tmp_path: Path) -> None:
    for pix_fmt, dtype in (("gray16le", np.uint16), ("gray", np.uint8)):
        with av.open(str(tmp_path / f"{pix_fmt}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.height, stream.width, stream.pix_fmt = 96, 160, pix_fmt
            picture = np.tile(np.linspace(0, np.iinfo(dtype).max, 160).astype(dtype), (96, 1))
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=pix_fmt)))
            container.mux(stream.encode(None))
    assert len(video.decode(tmp_path / "gray.mkv", 64).frames.jpegs) == 3
    with pytest.raises(NoCameraError, match=r"gray16le.mkv: shows one channel of more than 8 bits \(gray16le\)"):
        video.decode(tmp_path / "gray16le.mkv", 64)


ONE = 1 << 16
SHOWN = {  # a b c d x y of the matrix, and what a player makes of a picture
    "as it is": ((1, 0, 0, 1, 0, 0), lambda p: p),
    "half a turn": ((-1, 0, 0, -1, 160, 96), lambda p: p[::-1, ::-1]),
    "a quarter to the right": ((0, 1, -1, 0, 96, 0), lambda p: np.rot90(p, -1)),
    "a quarter to the left": ((0, -1, 1, 0, 0, 160), lambda p: np.rot90(p)),
    "mirrored": ((-1, 0, 0, 1, 160, 0), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1, 0, 96), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0, 0, 0), lambda p: p.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0, 96, 160), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
    "twice as large": ((2, 0, 0, 2, 0, 0), lambda p: p),
}


def with_matrix(plain: Path, path: Path, values: tuple[float, ...]) -> Path:
    """Write the nine numbers a b u c d v x y w into the track's header by hand."""
    a, b, c, d, x, y = (round(value * ONE) for value in values)
    data = plain.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    path.write_bytes(data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, x, y, 1 << 30) + data[at + 36 :])
    return path


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_shown_as_the_display_matrix_says(tmp_path: Path, plain: Path, name: str) -> None:
    values, turned = SHOWN[name]
    path = with_matrix(plain, tmp_path / "phone.mp4", values)
    wanted = turned(coded(0)).astype(int)
    _, picture = next(video.pictures(path, 20))
    assert picture.shape == wanted.shape
    assert np.abs(picture.astype(int) - wanted).mean() < 8
    frames = video.decode(path, 160).frames
    assert (frames.native_height, frames.native_width) == wanted.shape[:2]
    assert np.abs(simplejpeg.decode_jpeg(frames.jpegs[0]).astype(int) - wanted).mean() < 8
    small = video.decode(path, 64).frames
    assert (small.height, small.width, small.native_height) == (64, 64, wanted.shape[0])


def test_a_picture_at_a_slant_is_refused(tmp_path: Path, plain: Path) -> None:
    path = with_matrix(plain, tmp_path / "slant.mp4", (0.7, 0.7, -0.7, 0.7, 0, 0))
    with pytest.raises(RecordError, match=r"slant.mp4: is shown at a slant, expected quarter turns and mirrors"):
        video.decode(path, 64)


def test_an_index_is_not_made_of_samples_that_no_file_can_hold(tmp_path: Path, plain: Path) -> None:
    """Sixteen bytes that claim fifty million samples made FFmpeg take 3.6 GB and 98 s."""
    claims = struct.pack(">II", 1, 50_000_000)
    data = plain.read_bytes()
    at = data.index(b"stsz") + 8
    (tmp_path / "plain.mp4").write_bytes(data[:at] + claims + data[at + 8 :])
    data = remux(plain, tmp_path / "parts.mp4", options={"movflags": "frag_keyframe+empty_moov"}).read_bytes()
    at = data.index(b"trun") + 8
    (tmp_path / "parts.mp4").write_bytes(data[:at] + claims[4:] + data[at + 4 :])
    for name in ("plain.mp4", "parts.mp4"):
        for read in (header.probe, numbers, shown):
            with pytest.raises(RecordError, match=rf"^{name}: claims to hold 500000\d\d frames in \d+ bytes"):
                read(tmp_path / name)


def test_sound_may_have_more_samples_than_pictures_have_bytes(tmp_path: Path, plain: Path) -> None:
    for codec in ("pcm_s16le", "aac"):
        path = tmp_path / f"{codec}.mov"
        with av.open(str(plain)) as given, av.open(str(path), "w") as container:
            old = given.streams.video[0]
            new, sound = container.add_stream_from_template(old), container.add_stream(codec, rate=48_000)
            for packet in given.demux(old):
                if packet.dts is not None:
                    packet.stream = new
                    container.mux(packet)
            for k in range(140):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
                frame.sample_rate, frame.pts = 48_000, k * 1024
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        assert numbers(path) == list(range(60))
