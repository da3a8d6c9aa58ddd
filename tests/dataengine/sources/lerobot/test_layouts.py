"""LeRobot datasets as recorders and converters leave them: v2.0 to v3.0, wherever rows and frames lie."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine.errors import SourceError
from dataengine.sources import _parts
from tests.support import lerobot_writer as lr
from tests.support.lerobot_found import assert_whole, is_shown, reasons
from tests.support.lerobot_tree import change_features, read_all, source_of


@pytest.fixture(params=["v3.0", "v2.1"])
def root(made, tmp_path, request):
    return shutil.copytree(made[request.param], tmp_path / "cubes")


def test_rows_and_frames_arrive_together_from_either_layout(root):
    outcomes = read_all(root)
    assert_whole(outcomes)
    first = outcomes[0]
    assert (first.dataset, first.embodiment, first.control_hz) == ("lerobot/cubes", "so100_joint3", 10.0)
    assert (first.state_encoding, first.action_encoding) == ("joint_position", "joint_position")
    assert [episode.split for episode in outcomes] == ["train", "train", "test"]
    frames = first.cameras["primary"]
    assert (frames.native_height, frames.native_width, frames.height, frames.width) == (48, 64, 48, 64)
    assert (first.notes["camera_primary"], first.notes["camera_wrist"]) == (lr.TOP, lr.WRIST)
    assert first.notes["robot_type"] == "so100"
    assert "doubt" not in first.notes


def test_large_frames_are_scaled_to_the_frame_size(v3):
    frames = read_all(v3, frame_size=32)[2].cameras["wrist"]
    assert (frames.native_height, frames.native_width, frames.height, frames.width) == (64, 48, 32, 32)
    assert is_shown(frames, 2)


def test_parts_share_out_the_bytes_of_all_files_and_cover_every_episode(root, monkeypatch):
    source = source_of(root)
    (whole,) = source.parts()
    num_bytes = sum(p.stat().st_size for kind in ("data", "videos") for p in (root / kind).rglob("*") if p.is_file())
    assert abs(whole.num_bytes - num_bytes) <= 3
    monkeypatch.setattr(_parts.grouped, "__defaults__", (1,))
    assert [part.name for part in source.parts()] == ["episodes/0", "episodes/1", "episodes/2"]
    assert_whole([outcome for part in source.parts() for outcome in source.read(part)])


def test_parts_do_not_depend_on_how_columns_and_cameras_are_chosen(v3, monkeypatch):
    monkeypatch.setattr(_parts.grouped, "__defaults__", (9_000,))
    plain = source_of(v3).parts()
    chosen = source_of(v3, camera=f"primary={lr.WRIST}", state="observation.state[0:2]").parts()
    assert [part.part_id for part in plain] == [part.part_id for part in chosen]
    assert len(plain) > 1


def test_a_change_of_rows_tasks_or_starts_changes_the_fingerprint(v3):
    before = source_of(v3).parts()[0].fingerprint
    lines = lr.read_lines(v3)
    lines[2][f"videos/{lr.TOP}/from_timestamp"] += 0.1
    lr.write_entries(v3, lines)
    after = source_of(v3).parts()[0].fingerprint
    pq.write_table(pa.table({"task_index": [0, 1], "__index_level_0__": ["a", "b"]}), v3 / "meta/tasks.parquet")
    assert len({before, after, source_of(v3).parts()[0].fingerprint}) == 3


def test_metadata_may_be_sharded_and_listed_out_of_order(v3):
    lines = lr.read_lines(v3)
    lr.write_entries(v3, lines[:1], lines[1:])
    assert_whole(read_all(v3))
    lr.write_entries(v3, [lines[2]], [lines[0], lines[1]])
    assert [episode.source_record for episode in read_all(v3)] == ["2", "0", "1"]


def test_rows_that_no_episode_counts_are_left_out(v3):
    firsts = np.cumsum([0, *lr.LENGTHS])
    orphan = lr.rows_of(1, 500)
    path = v3 / "data/chunk-000/file-000.parquet"
    lr.write_rows(path, lr.rows_of(0, 0), orphan, lr.rows_of(1, firsts[1]))
    lr.write_rows(v3 / "data/chunk-000/file-009.parquet", lr.rows_of(2, 900))
    lr.write_video(v3 / f"videos/{lr.TOP}/chunk-000/file-009.mp4", [0] * 5, (48, 64))
    assert_whole(read_all(v3))


def test_one_row_group_of_all_episodes_with_shuffled_rows_gives_the_same(v3):
    path = v3 / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(np.random.default_rng(0).permutation(len(table))), path, write_statistics=False)
    assert_whole(read_all(v3))


def test_an_episode_that_lies_in_the_file_after_the_one_named_is_found(v3):
    lines = lr.read_lines(v3)
    lines[2]["data/file_index"] = 0
    lr.write_entries(v3, lines)
    assert_whole(read_all(v3))


def test_starts_that_drift_by_less_than_half_a_frame_show_the_same_frames_and_are_noted(v3):
    lines = lr.read_lines(v3)
    for line in lines[1:]:
        line[f"videos/{lr.TOP}/from_timestamp"] += 0.04
    lr.write_entries(v3, lines)
    path = v3 / f"videos/{lr.TOP}/chunk-000/file-000.mp4"
    levels = [lr.level(i, k) for i in range(3) for k in range(lr.LENGTHS[i])]
    lr.write_video(path, [*levels, 0, 0], (48, 64))  # frames that nobody lists: they cannot be counted
    outcomes = read_all(v3)
    assert_whole(outcomes)
    assert [episode.notes.get("video_off_ms") for episode in outcomes] == [None, "40", "40"]


def test_old_spellings_are_read_alike(tmp_path):
    root = lr.write_v2(tmp_path / "cubes", version="v2.0", prefix="")
    state = {"dtype": "float64", "shape": [3], "names": {"motors": lr.MOTORS}}
    top = {**lr.camera(lr.TOP), "video_info": {"video.fps": 10.0, "video.is_depth_map": False}}
    change_features(root, state=state, **{lr.TOP.replace(".", "__"): top})
    for i, length in enumerate(lr.LENGTHS):
        path = root / f"data/chunk-000/episode_{i:06d}.parquet"
        table = pq.read_table(path)
        values = pa.array(lr.state_of(i, length).tolist(), pa.list_(pa.float64()))
        table = table.set_column(table.column_names.index("state"), "state", values)
        pq.write_table(
            table.set_column(table.column_names.index("timestamp"), "timestamp", table["timestamp"].cast("float64")),
            path,
        )
    (root / "meta/tasks.jsonl").unlink()
    assert_whole(read_all(root))


def test_pictures_in_the_rows_are_frames_too(tmp_path):
    root = lr.write_v3(tmp_path / "cubes", video_files={lr.TOP: ((0, 1, 2),)})
    change_features(root, **{lr.WRIST.replace(".", "__"): lr.camera(lr.WRIST, "image")})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for number, members in enumerate(((0, 1), (2,))):
        path = root / f"data/chunk-000/file-{number:03d}.parquet"
        values = []
        for i in members:
            values += [{"bytes": lr.png(lr.level(i, k), (64, 48)), "path": None} for k in range(lr.LENGTHS[i])]
        values[0] = {"bytes": None, "path": f"images/{number}.png"}
        (root / "images").mkdir(exist_ok=True)
        (root / f"images/{number}.png").write_bytes(lr.png(lr.level(members[0], 0), (64, 48)))
        pq.write_table(pq.read_table(path).append_column(lr.WRIST, pa.array(values, kind)), path)
    assert_whole(read_all(root))
    (root / "images/0.png").unlink()
    table = pq.read_table(root / "data/chunk-000/file-001.parquet")
    table = table.set_column(
        table.column_names.index(lr.WRIST),
        lr.WRIST,
        pa.array([{"bytes": None, "path": "../../secret.png"}] * 15, kind),
    )
    pq.write_table(table, root / "data/chunk-000/file-001.parquet")
    assert reasons(read_all(root)) == {
        "0": f"{lr.WRIST}: images/0.png is missing",
        "2": f"{lr.WRIST}: '../../secret.png' leads out of the dataset",
    }


def test_uneven_timestamps_are_kept_and_frames_follow_them(v2):
    path = v2 / "data/chunk-000/episode_000001.parquet"
    table = pq.read_table(path)
    stamps = pa.array((np.arange(9) * 0.2).astype(np.float32))
    pq.write_table(table.set_column(table.column_names.index("timestamp"), "timestamp", stamps), path)
    for key, sides in lr.SIDES.items():
        levels = [lr.level(1, k // 2) if k % 2 == 0 else 250 for k in range(18)]
        lr.write_video(v2 / f"videos/chunk-000/{key}/episode_000001.mp4", levels, sides)
    episode = read_all(v2)[1]
    assert np.abs(episode.time_ns - np.arange(9) * 200_000_000).max() < 100
    assert is_shown(episode.cameras["primary"], 1)
    assert "not k / fps" in episode.notes["time"]


def test_a_hub_cache_is_read_through_its_links(made, tmp_path):
    repo = tmp_path / "hub/datasets--ann--cubes"
    snapshot = repo / "snapshots/abc"
    for number, path in enumerate(sorted(p for p in made["v3.0"].rglob("*") if p.is_file())):
        blob, link = repo / f"blobs/{number}", snapshot / path.relative_to(made["v3.0"])
        blob.parent.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(path.read_bytes())
        link.symlink_to(blob)
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\n---\nlicense: mit\n")
    for folder in (repo, snapshot, repo / "snapshots"):
        outcomes = read_all(folder)
        assert_whole(outcomes)
        assert (outcomes[0].dataset, outcomes[0].licence) == ("lerobot/ann/cubes", "apache-2.0")
    shutil.copytree(snapshot, repo / "snapshots/def", symlinks=True)
    with pytest.raises(SourceError, match=r"found 2 revisions \(abc, def\)"):
        source_of(repo)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("def")
    assert_whole(read_all(repo))
