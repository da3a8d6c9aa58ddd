"""Anybody's video, written by PyAV in sight, labelled without a corpus."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.app import app
from dataengine.errors import DataEngineError
from dataengine.formats.resize import resize
from dataengine.guard import little_memory
from models.weights import load_lam
from pipelines.label import segments
from pipelines.label.video import LabelVideoConfig, run

GOLDEN = Path(__file__).parents[2] / "models" / "golden_lam"


def write_video(path, seed, times_ms, codec="libx264", size=(48, 64)):
    """Blobs that wander, shown at these times."""
    noise = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_ms in times_ms:
            blocks = noise.integers(0, 256, (size[0] // 16, size[1] // 16, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(blocks.repeat(16, 0).repeat(16, 1), format="rgb24")
            frame.pts, frame.time_base = int(time_ms), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_of(path):
    """What PyAV itself says of a file: times in seconds and pictures (t, 3, h, w)."""
    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return np.array([t for t, _ in frames]), torch.from_numpy(np.stack([p for _, p in frames])).permute(0, 3, 1, 2)


def seen(pictures):
    """Scale pictures (t, 3, h, w) to the model's side as the loader does."""
    side = load_lam(GOLDEN).config.resolution
    scaled = [resize(picture.permute(1, 2, 0).numpy(), side, side) for picture in pictures]
    return torch.from_numpy(np.stack(scaled)).permute(0, 3, 1, 2)


def label(tmp_path, *videos, name="latents.npz", **settings):
    out = tmp_path / name
    fields = {"videos": list(map(str, videos)), "lam": GOLDEN, "out": out, "device": "cpu", **settings}
    report = run(LabelVideoConfig(**fields))
    return report, np.load(out) if out.suffix == ".npz" else out


@pytest.mark.parametrize(
    ("name", "codec", "count"),
    [("a.mp4", "libx264", 60), ("b.webm", "libvpx-vp9", 100), ("c.mkv", "libsvtav1", 25), ("d.avi", "mpeg4", 300)],
)
def test_a_video_has_what_encode_says_of_its_frames_an_interval_apart(tmp_path, name, codec, count):
    path = write_video(tmp_path / name, 0, np.arange(count) * 40, codec)
    report, labels = label(tmp_path, path, interval_s=0.2)
    times, pictures = frames_of(path)
    expected = load_lam(GOLDEN).encode(seen(pictures[::5]))
    assert report.latents == len(pictures[::5]) - 1
    np.testing.assert_array_equal(labels["codes"], expected.codes[0].numpy())
    np.testing.assert_array_equal(labels["latent"], expected.quantized[0].numpy())
    np.testing.assert_allclose(labels["time_s"], times[::5][:-1], atol=2e-3)
    assert float(labels["interval_s"]) == 0.2


def test_frames_are_taken_by_their_time_stamps_not_by_their_number(tmp_path):
    times = np.cumsum(np.random.default_rng(0).choice([20, 40, 90], 80))
    path = write_video(tmp_path / "a.mp4", 1, times)
    _, labels = label(tmp_path, path, interval_s=0.2)
    shown, pictures = frames_of(path)
    instants = np.arange(shown[0], shown[-1] + 1e-6, 0.2)
    nearest = np.abs(shown[None] - instants[:, None] - 1e-9).argmin(axis=1)
    np.testing.assert_array_equal(labels["codes"], load_lam(GOLDEN).encode(seen(pictures[nearest])).codes[0].numpy())


@pytest.mark.parametrize(("rate_hz", "hint"), [(12, "10"), (1, "5"), (7, "5"), (0.01, "5")])
def test_a_rate_at_which_no_pair_is_an_interval_apart_is_refused(tmp_path, rate_hz, hint):
    path = write_video(tmp_path / "a.mp4", 2, np.arange(40) * 40)
    with pytest.raises(ValueError, match=rf"begin in the 0\.2 s .* take rate_hz={hint}$"):
        label(tmp_path, path, interval_s=0.2, rate_hz=rate_hz)
    report, _ = label(tmp_path, path, interval_s=0.7, rate_hz=10)  # 7.0 of them, whatever floats make of it
    assert report.latents == 16 - 7


@pytest.mark.parametrize("segment", [3, 16, 256])
def test_a_long_video_read_in_segments_has_the_same_latents(tmp_path, monkeypatch, segment):
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", segment)
    path = write_video(tmp_path / "a.mp4", 2, np.arange(70) * 100)
    report, labels = label(tmp_path, path, interval_s=0.2, rate_hz=10, batch=5)
    _, pictures = frames_of(path)
    lam = load_lam(GOLDEN)
    assert report.latents == 68
    for phase in (0, 1):
        np.testing.assert_array_equal(labels["codes"][phase::2], lam.encode(seen(pictures[phase::2])).codes[0].numpy())


@pytest.mark.parametrize("segment", [7, 1000])
def test_no_latent_action_spans_a_gap_and_none_is_made_up_for_it(tmp_path, monkeypatch, segment):
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", segment)
    times = [*range(0, 4000, 40), *range(604_000, 606_000, 40)]
    path = write_video(tmp_path / "paused.mp4", 3, times)
    report, labels = label(tmp_path, path, interval_s=0.2)
    shown, pictures = frames_of(path)
    lam = load_lam(GOLDEN)
    runs = [lam.encode(seen(pictures[some][::5])).codes[0].numpy() for some in (slice(0, 100), slice(100, 150))]
    assert report.latents == 19 + 9
    np.testing.assert_array_equal(labels["codes"], np.concatenate(runs))
    starts = [*shown[0:95:5], *shown[100:145:5]]
    np.testing.assert_allclose(labels["time_s"], starts, atol=2e-3)


def test_a_bad_file_is_one_line_and_the_others_are_done(tmp_path):
    folder = tmp_path / "clips" / "below"
    folder.mkdir(parents=True)
    good = [write_video(folder / f"{i}.mp4", i, np.arange(40) * 40) for i in range(3)]
    whole = good[1].read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.webm").write_bytes(b"")
    (folder / "text.mkv").write_text("no video")
    (folder / "notes.txt").write_text("not looked at")
    write_video(folder / "slow.mp4", 3, np.arange(5) * 1000)
    write_video(folder / "short.mp4", 3, np.arange(3) * 40)
    report, labels = label(tmp_path, tmp_path / "clips", interval_s=0.2)
    assert (report.ok, report.named_rejected) == (True, [])
    assert [Path(v).name for v in labels["videos"]] == ["0.mp4", "1.mp4", "2.mp4"]
    assert {Path(v).name for v in report.rejected} == {"cut.mp4", "empty.webm", "text.mkv", "slow.mp4", "short.mp4"}
    assert all(Path(v).name in reason and "\n" not in reason for v, reason in report.rejected.items())
    assert "needs at least 5" in report.rejected[str(folder / "slow.mp4")]
    assert "spans 0.20 s" in report.rejected[str(folder / "short.mp4")]
    _, own = label(tmp_path, good[2], name="alone.npz", interval_s=0.2)
    np.testing.assert_array_equal(labels["codes"][labels["video"] == 2], own["codes"])


def test_a_table_has_a_row_for_each_video_and_says_who_made_it(tmp_path):
    import lance

    paths = [write_video(tmp_path / f"{i}.mp4", i, np.arange(40) * 40) for i in range(2)]
    report, out = label(tmp_path, *paths, name="latents.lance", interval_s=0.2)
    _, plain = label(tmp_path, *paths, interval_s=0.2)
    table = lance.dataset(str(out)).to_table()
    assert table["video"].to_pylist() == list(map(str, paths))
    codes = np.concatenate([np.array(row).reshape(-1, 4) for row in table["codes__golden_lam"].to_pylist()])
    np.testing.assert_array_equal(codes, plain["codes"])
    assert table.schema.field("latent__golden_lam").metadata[b"villa:lam_fingerprint"].decode() == report.fingerprint


@pytest.mark.parametrize("name", ["latents.npz", "latents.lance"])
def test_names_of_files_may_be_any_bytes(tmp_path, name):
    good, bad = (tmp_path / os.fsdecode(some) for some in (b"caf\xe9\n.mp4", b"bad\xff.mp4"))
    write_video(tmp_path / "plain.mp4", 0, np.arange(40) * 40).rename(good)
    bad.write_bytes(b"no video")
    report, out = label(tmp_path, good, bad, name=name, interval_s=0.2)
    assert report.videos == 1
    assert "bad\\udcff.mp4: " in report.summary()
    assert json.loads(report.model_dump_json())["rejected"]
    if name == "latents.lance":
        import lance

        assert lance.dataset(str(out)).to_table()["video"].to_pylist() == [f"{tmp_path}/caf\\udce9\n.mp4"]


def test_what_is_there_is_never_overwritten(tmp_path):
    path = write_video(tmp_path / "a.mp4", 0, np.arange(40) * 40)
    label(tmp_path, path, interval_s=0.2)
    with pytest.raises(DataEngineError, match="is there already and is never overwritten"):
        label(tmp_path, path, interval_s=0.2)
    with pytest.raises(DataEngineError, match=r"ends in \.npz or \.lance"):
        label(tmp_path, path, name="latents.csv")


def test_the_command_line_takes_files_and_folders_after_one_option(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", 0, np.arange(80) * 40)
    videos = [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]
    argv = ["label", "--video", *videos, "--lam", str(GOLDEN), "--out", str(tmp_path / "o.npz"), "--json"]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["videos"], report["latents"], report["rejected"]) == (2, 8, {})


def test_a_file_that_was_named_and_is_not_there_fails_the_command_which_does_the_others(tmp_path):
    write_video(tmp_path / "a.mp4", 0, np.arange(80) * 40)
    argv = ["label", "--video", str(tmp_path / "a.mp4"), str(tmp_path / "absent.mp4"), "--lam", str(GOLDEN)]
    done = CliRunner().invoke(app, [*argv, "--out", str(tmp_path / "o.npz"), "--json"])
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["videos"], report["named_rejected"]) == (1, [str(tmp_path / "absent.mp4")])


def test_where_no_video_can_be_read_nothing_is_written_and_the_command_fails(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    argv = ["label", "--video", str(tmp_path / "bad.mp4"), str(tmp_path / "absent.mp4"), "--lam", str(GOLDEN)]
    done = CliRunner().invoke(app, [*argv, "--out", str(tmp_path / "o.npz")])
    assert done.exit_code == 1
    assert "absent.mp4: the video is missing" in done.stdout
    assert not (tmp_path / "o.npz").exists()


def test_a_checkpoint_exported_on_the_command_line_labels_a_folder_of_videos(tmp_path):
    done = CliRunner().invoke(app, ["export", "lam", str(GOLDEN), str(tmp_path / "released")])
    assert done.exit_code == 0, done.output
    path = write_video(tmp_path / "a.mp4", 0, np.arange(80) * 40)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"of somebody")
    again = CliRunner().invoke(app, ["export", "lam", str(GOLDEN), str(tmp_path / "theirs")])
    assert again.exit_code == 2
    assert "theirs" in again.output
    assert (tmp_path / "theirs" / "model.safetensors").read_bytes() == b"of somebody"
    _, ours = label(tmp_path, path)
    _, theirs = label(tmp_path, path, name="theirs.npz", lam=tmp_path / "released")
    np.testing.assert_array_equal(ours["codes"], theirs["codes"])


def test_an_exported_checkpoint_still_says_how_frames_came_to_rest(tmp_path):
    lam = tmp_path / "lam"
    shutil.copytree(GOLDEN, lam)
    stated = json.loads((lam / "model_config.json").read_text())
    framings = {"made": {"side": 32, "fit": "crop"}}
    (lam / "model_config.json").write_text(json.dumps({**stated, "data": {"uri": "gone", "framings": framings}}))
    done = CliRunner().invoke(app, ["export", "lam", str(lam), str(tmp_path / "released")])
    assert done.exit_code == 0, done.output
    path = write_video(tmp_path / "a.mp4", 0, np.arange(80) * 40)
    ours, one = label(tmp_path, path, lam=lam)
    theirs, other = label(tmp_path, path, name="theirs.npz", lam=tmp_path / "released")
    assert (ours.fit, ours.frame_size) == (theirs.fit, theirs.frame_size) == ("crop", 32)
    np.testing.assert_array_equal(one["codes"], other["codes"])
    _, squashed = label(tmp_path, path, name="squashed.npz", lam=lam, fit="squash", frame_size=256)
    assert (one["codes"] != squashed["codes"]).any()


def test_a_video_that_takes_too_much_memory_is_left_out_and_the_others_are_read(monkeypatch):
    monkeypatch.setattr(segments.Cutter, "cut", lambda self, file, path: [] if file else [bytearray(10**14)])
    cutter = segments.Cutter(rate_hz=5, stride=1, num_frames=2, side=8)
    with little_memory(1.0):
        ends = list(segments.decode_side_by_side(["bomb.mp4", "fine.mp4"], cutter, 1))
    assert ends == [segments.End(0, "bomb.mp4: reading took more than 1 GB"), segments.End(1)]
