"""Which frame a row shows: its own, whatever clocks say, wherever in a file and in a group of pictures it lies."""

import json
import shutil
from math import inf
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import RecordError
from dataengine.formats.lerobot.entries import VideoSpan
from dataengine.formats.lerobot.reel import Reel
from dataengine.formats.video import stream
from tests.support import lerobot_writer as lr
from tests.support.video_writer import X265, number_of, write_video

COUNT, FPS = 150, 10
ENCODERS = {
    "h264 with B-frames, one key frame": ("libx264", {"g": "250", "bf": "3", "crf": "12"}),
    "h264 with a key frame every 20": ("libx264", {"g": "20", "bf": "2", "crf": "12"}),
    "h264 with open groups": ("libx264", {"x264-params": "open-gop=1:keyint=12:bframes=3:b-adapt=0", "crf": "12"}),
    "h264 that refreshes bit by bit": ("libx264", {"x264-params": "intra-refresh=1:keyint=12:bframes=0", "crf": "12"}),
    "hevc with open groups": ("libx265", {"x265-params": X265["x265-params"] + ":keyint=10:min-keyint=10:open-gop=1"}),
    "hevc with closed groups": ("libx265", {"x265-params": X265["x265-params"] + ":keyint=10:open-gop=0"}),
    "av1 as lerobot writes it": ("libsvtav1", {"g": "2", "crf": "20", "preset": "12", "svtav1-params": "lp=1"}),
}


@pytest.fixture(scope="module", params=ENCODERS)
def film(request, tmp_path_factory):
    codec, options = ENCODERS[request.param]
    return write_video(tmp_path_factory.mktemp("film") / "file-000.mp4", range(COUNT), FPS, codec, options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("film") / "file-000.mp4", range(COUNT), FPS)


def span(first, count):
    return VideoSpan("", first / FPS, stop_s=(first + count) / FPS)


def rows(count):
    return np.arange(count) / FPS


def shown(clip):
    return [number_of(simplejpeg.decode_jpeg(data)) for data in clip.frames.jpegs]


def test_a_film_can_be_entered_at_any_frame(film, monkeypatch):
    monkeypatch.setattr("dataengine.formats.lerobot.reel.JUMP_S", 0.3)
    for first in range(COUNT - 2):
        frames = Reel(64, FPS).take(film, span(first, 3), rows(3))
        assert shown(frames) == [first, first + 1, first + 2]
        assert frames.off_s < 1e-6


def test_episodes_one_after_another_are_decoded_once(film, monkeypatch):
    decoded = []
    timed = stream.timed_frames

    def counted(packets, **kwargs):
        for time_s, frame in timed(packets, **kwargs):
            decoded.append(time_s)
            yield time_s, frame

    monkeypatch.setattr(stream, "timed_frames", counted)
    reel = Reel(256, FPS)
    for first, count in ((0, 40), (40, 30), (75, 25), (100, 50)):
        assert shown(reel.take(film, span(first, count), rows(count))) == list(range(first, first + count))
    assert len(decoded) == COUNT
    assert shown(reel.take(film, span(5, 3), rows(3))) == [5, 6, 7]


@pytest.mark.parametrize("true_hz", [9.5, 10.5, 29.0])
def test_a_row_shows_the_frame_of_its_number_whatever_its_clock_says(plain, true_hz):
    reel = Reel(256, FPS)
    for first, count in ((0, 40), (40, 30), (75, 25)):
        frames = reel.take(plain, span(first, count), np.arange(count) / true_hz)
        assert shown(frames) == list(range(first, first + count))
        assert frames.off_s == pytest.approx(abs((count - 1) * (1 / FPS - 1 / true_hz)), abs=1e-6)


def test_a_clock_may_count_from_the_epoch(plain):
    frames = Reel(256, FPS).take(plain, span(40, 30), 1_764_000_000 + rows(30))
    assert shown(frames) == list(range(40, 70))
    assert frames.off_s < 1e-6


def test_no_frame_of_the_next_episode_is_shown(plain):
    frames = Reel(256, FPS).take(plain, span(40, 29), rows(30))
    assert shown(frames) == list(range(40, 69))  # one less than rows: the last row has none
    with pytest.raises(
        RecordError, match=r"file-000.mp4: shows 28 frames, the last at 6.700 s, the episode has 30 rows"
    ):
        Reel(256, FPS).take(plain, span(40, 28), rows(30))
    with pytest.raises(RecordError, match=r"shows 4 frames, the last at 14.900 s, the episode has 9 rows"):
        Reel(256, FPS).take(plain, span(146, 9), rows(9))
    with pytest.raises(RecordError, match=r"shows 0 frames, the episode has 9 rows"):
        Reel(256, FPS).take(plain, span(170, 9), rows(9))


def test_of_more_frames_than_rows_those_are_shown_that_times_tell(plain):
    alone = VideoSpan("", 0.0, is_alone=True)
    assert shown(Reel(256, FPS).take(plain, alone, np.arange(50) * 0.3)) == list(range(0, 150, 3))
    assert shown(Reel(256, FPS).take(plain, span(30, 60), np.arange(20) * 0.3 + 0.03)) == list(range(30, 90, 3))
    with pytest.raises(
        RecordError, match=r"shows 60 frames, the episode has 20 rows, and none .* 6.950 s, where row 10"
    ):
        Reel(256, FPS).take(plain, span(30, 60), np.arange(20) * 0.395)


def test_starts_that_drift_are_of_no_account_where_frames_can_be_counted(plain):
    for first in (50, 100):
        late = VideoSpan("", first / FPS + 0.27, stop_s=first / FPS + 5.27, counted=(first, COUNT))
        frames = Reel(256, FPS).take(plain, late, rows(50))
        assert shown(frames) == list(range(first, first + 50))
        assert frames.off_s == pytest.approx(0.27, abs=1e-6)
    other = VideoSpan("", 5.04, stop_s=10.04, counted=(70, COUNT + 1))  # frames that nobody lists lie between
    assert shown(Reel(256, FPS).take(plain, other, rows(50))) == list(range(50, 100))


# ---- through the source ----------------------------------------------------------------------------------------------
CLOCKS_HZ = (10.0, 9.5, 10.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Videos of coded pictures, episode * 100 + step, under rows whose clocks run at other rates."""
    folder = tmp_path_factory.mktemp("clocks")
    numbers = [[100 * i + k for k in range(length)] for i, length in enumerate(lr.LENGTHS)]
    v3, v2 = lr.write_v3(folder / "cubes3"), lr.write_v2(folder / "cubes2")
    write_video(v3 / f"videos/{lr.TOP}/chunk-000/file-000.mp4", [*numbers[0], *numbers[1], *numbers[2]], FPS)
    write_video(v3 / f"videos/{lr.WRIST}/chunk-000/file-000.mp4", numbers[0], FPS)
    write_video(v3 / f"videos/{lr.WRIST}/chunk-000/file-001.mp4", numbers[1] + numbers[2], FPS)
    for i in range(3):
        for key in lr.SIDES:
            write_video(v2 / f"videos/chunk-000/{key}/episode_{i:06d}.mp4", numbers[i], FPS)
    for path in sorted((*v3.glob("data/*/*.parquet"), *v2.glob("data/*/*.parquet"))):
        table = pq.read_table(path)
        episodes, frames = (table[name].to_numpy() for name in ("episode_index", "frame_index"))
        clock = frames / np.array(CLOCKS_HZ)[episodes]
        table = table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array(clock, pa.float32()))
        pq.write_table(table, path)
    return {"v3.0": v3, "v2.1": v2}


@pytest.fixture(params=["v3.0", "v2.1"])
def clocks(made, tmp_path, request):
    return shutil.copytree(made[request.param], tmp_path / "cubes")


def read_all(root):
    source = catalog.source("lerobot")(str(root))
    return [outcome for part in source.parts() for outcome in source.read(part)]


def numbers_of(episode, slot="primary"):
    return [number_of(simplejpeg.decode_jpeg(data)) for data in episode.cameras[slot].jpegs]


def test_clocks_of_other_rates_neither_move_frames_nor_lose_episodes(clocks):
    outcomes = read_all(clocks)
    for i, episode in enumerate(outcomes):
        assert isinstance(episode, Episode)
        for slot in ("primary", "wrist"):
            assert numbers_of(episode, slot) == [100 * i + k for k in range(lr.LENGTHS[i])]
        wanted_ns = np.arange(lr.LENGTHS[i]) / CLOCKS_HZ[i] * 1e9
        assert np.abs(episode.time_ns - wanted_ns).max() < 200
        assert np.array_equal(episode.state, lr.state_of(i).astype(np.float32))
    assert len(outcomes) == 3


@pytest.mark.parametrize("end", ["to", "last row", "none"])
def test_the_end_of_a_shared_span_is_where_the_next_begins(made, tmp_path, end):
    root = shutil.copytree(made["v3.0"], tmp_path / "cubes")
    lines = lr.read_lines(root)
    for line in lines:
        for key in lr.SIDES:
            if end == "last row":
                line[f"videos/{key}/to_timestamp"] -= 1 / FPS
            elif end == "none":
                del line[f"videos/{key}/to_timestamp"]
            line[f"videos/{key}/from_timestamp"] += 0.01
    lr.write_entries(root, lines)
    extra = [i * 100 + k for i in range(3) for k in range(lr.LENGTHS[i])] + [999]
    write_video(root / f"videos/{lr.TOP}/chunk-000/file-000.mp4", extra, FPS)
    for i, episode in enumerate(read_all(root)):
        assert numbers_of(episode) == [100 * i + k for k in range(lr.LENGTHS[i])]


def test_a_video_that_is_one_frame_short_costs_the_last_row_of_its_episode(clocks):
    is_v3 = (clocks / "meta/episodes").is_dir()
    name = f"{lr.WRIST}/chunk-000/file-001.mp4" if is_v3 else f"chunk-000/{lr.WRIST}/episode_000002.mp4"
    numbers = ([100 + k for k in range(9)] if is_v3 else []) + [200 + k for k in range(14)]
    write_video(clocks / "videos" / name, numbers, FPS)
    outcomes = read_all(clocks)
    assert [episode.num_steps for episode in outcomes] == [12, 9, 14]
    for slot in ("primary", "wrist"):
        assert numbers_of(outcomes[2], slot) == [200 + k for k in range(14)]
    last = outcomes[2]
    assert np.array_equal(last.state, lr.state_of(2).astype(np.float32)[:14])
    assert len(last.time_ns) == len(last.action) == len(last.raw_state) == 14
    assert "one frame less" in last.notes["last_row_lost"]
    assert "last_row_lost" not in outcomes[1].notes
    assert ("frames_missing" in last.notes) is is_v3
    write_video(clocks / "videos" / name, numbers[:-1], FPS)
    assert isinstance(read_all(clocks)[2], Reject)


def test_depth_in_an_image_column_is_left_out_and_noted(tmp_path):
    root = lr.write_v3(tmp_path / "cubes", video_files={lr.TOP: ((0, 1, 2),)})
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["observation.images.tof"] = {**lr.camera(lr.TOP, "image"), "shape": [48, 64, 1]}
    (root / "meta/info.json").write_text(json.dumps(info))
    from io import BytesIO

    from PIL import Image

    data = BytesIO()
    Image.fromarray(np.tile(np.linspace(400, 3000, 64).astype(np.uint16), (48, 1))).save(data, "PNG")
    for path in root.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        values = pa.array([{"bytes": data.getvalue(), "path": None}] * len(table))
        pq.write_table(table.append_column("observation.images.tof", values), path)
    for episode in read_all(root):
        assert list(episode.cameras) == ["primary"]
        assert "observation.images.tof: frame 0 is one channel of more than 8 bits" in episode.notes["depth_left_out"]


def test_spans_are_no_part_of_fingerprints():
    assert repr(VideoSpan("a", 1.5)) == repr(VideoSpan("a", 1.5, is_alone=True, stop_s=2.0, counted=(1, 2)))
    assert VideoSpan("a", 1.5).stop_s == inf


def test_a_path_names_the_file_once(tmp_path: Path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(RecordError) as error:
        Reel(64, FPS).take(tmp_path / "empty.mp4", span(0, 3), rows(3))
    assert str(error.value) == "empty.mp4: the video has 0 bytes"
