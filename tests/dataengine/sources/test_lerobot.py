"""LeRobot datasets as recorders and converters leave them: v2.0 to v3.0, every spelling, and what is broken."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from dataengine.episode import Episode, Reject, Text
from dataengine.errors import SourceError
from dataengine.sources import _parts
from tests.support import lerobot_writer as lr
from tests.support.lerobot_tree import change_features, change_info, read_all, source_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("lerobot")
    return {"v3.0": lr.write_v3(place / "cubes3"), "v2.1": lr.write_v2(place / "cubes2")}


@pytest.fixture(params=["v3.0", "v2.1"])
def root(made, tmp_path, request):
    return shutil.copytree(made[request.param], tmp_path / "cubes")


@pytest.fixture
def v3(made, tmp_path):
    return shutil.copytree(made["v3.0"], tmp_path / "cubes")


@pytest.fixture
def v2(made, tmp_path):
    return shutil.copytree(made["v2.1"], tmp_path / "cubes")


def reasons(found):
    return {reject.record: reject.reason for reject in found if isinstance(reject, Reject)}


def greys(frames):
    return [round(float(simplejpeg.decode_jpeg(data).mean())) for data in frames.jpegs]


def is_shown(frames, episode):
    wanted = [lr.level(episode, k) for k in range(lr.LENGTHS[episode])]
    return bool(np.abs(np.array(greys(frames)) - wanted).max() < 2.5)


def names_of(root, key):
    return json.loads((root / "meta/info.json").read_text())["features"][key]


def assert_whole(found):
    assert [episode.source_record for episode in found] == ["0", "1", "2"]
    for i, episode in enumerate(found):
        assert episode.state.dtype == np.float32
        assert np.array_equal(episode.state, lr.state_of(i).astype(np.float32))
        assert np.array_equal(episode.action, lr.action_of(i).astype(np.float32))
        assert np.array_equal(episode.raw_state.astype(np.float32), episode.state)
        assert episode.instruction == [lr.TASKS[i]]
        assert episode.time_ns.tolist() == [100_000_000 * k for k in range(lr.LENGTHS[i])]
        assert {slot: is_shown(frames, i) for slot, frames in episode.cameras.items()} == {
            "primary": True,
            "wrist": True,
        }


def test_rows_and_frames_arrive_together_from_either_layout(root):
    found = read_all(root)
    assert_whole(found)
    first = found[0]
    assert (first.dataset, first.embodiment, first.control_hz) == ("lerobot/cubes", "so100_joint3", 10.0)
    assert (first.state_encoding, first.action_encoding) == ("joint_position", "joint_position")
    assert [episode.split for episode in found] == ["train", "train", "test"]
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
    assert_whole([found for part in source.parts() for found in source.read(part)])


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
    found = read_all(v3)
    assert_whole(found)
    assert [episode.notes.get("video_off_ms") for episode in found] == [None, "40", "40"]


@pytest.mark.parametrize(
    "names", [{"motors": ["x", "y", "z"]}, {"delta_x": 0, "delta_y": 1, "delta_z": 2}, ["x", "y", "z"]]
)
def test_names_of_axes_make_a_pose_and_its_change(v3, names):
    change_features(
        v3,
        observation__state={**names_of(v3, "observation.state"), "names": ["x", "y", "z"]},
        action={**names_of(v3, "action"), "names": names},
    )
    found = read_all(v3)
    assert (found[0].state_encoding, found[0].action_encoding) == ("eef_pose", "eef_delta")
    assert found[0].embodiment == "so100_eef_pose3_eef_delta3"
    assert ("a goal" in found[0].notes.get("doubt", "")) is ("delta_x" not in names)


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["shoulder_pan", "elbow_flex", "gripper"], "joint_position"),
        ({"motors": ["motor_0", "motor_1", "motor_2"]}, "joint_position"),
        ({"motors": ["a_0", "a_1", "a_2"]}, "joint_position"),
        (["joint_1.vel", "joint_2.vel", "joint_3.vel"], "joint_velocity"),
        (None, "mixed"),
        (["a", "b", "c"], "mixed"),
        (["joint_1", "temperature", "gripper"], "mixed"),
    ],
)
def test_names_tell_what_a_state_is_or_a_doubt_says_that_they_do_not(v3, names, encoding):
    change_features(v3, observation__state={**names_of(v3, "observation.state"), "names": names})
    first = read_all(v3)[0]
    assert first.state_encoding == encoding
    told = {"gripper": "2", "joint_3.vel": "", "c": ""}  # bare numbers tell nothing
    assert first.notes.get("state_grippers") == (told.get(names[-1]) if isinstance(names, list) else None)
    assert ("say --state-encoding" in first.notes.get("doubt", "")) is (encoding == "mixed")


def test_columns_encodings_cameras_and_names_can_be_said(v3):
    found = read_all(
        v3,
        state="action[1:3], observation.state[:1]",
        state_encoding="eef_velocity",
        action_encoding="eef_delta",
        camera=f"secondary={lr.WRIST}",
        dataset="mine/{name}",
        embodiment="{robot}_odd",
    )
    first = found[0]
    wanted = np.column_stack([lr.action_of(0)[:, 1:], lr.state_of(0)[:, :1]]).astype(np.float32)
    assert np.array_equal(first.state, wanted)
    assert (first.state_encoding, first.action_encoding) == ("eef_velocity", "eef_delta")
    assert (first.dataset, first.embodiment) == ("mine/cubes", "so100_odd")
    assert list(first.cameras) == ["secondary"]
    assert is_shown(first.cameras["secondary"], 0)
    assert first.notes["cameras_left_out"] == lr.TOP
    assert np.array_equal(first.raw_state[:, 3:], lr.state_of(0).astype(np.float32))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"state": "observation.stat"}, "no column of numbers 'observation.stat'; did you mean 'observation.state'"),
        ({"action": "action[2:9]"}, "'action[2:9]' takes 2 to 9 of a column of 3 values"),
        ({"camera": "front=x"}, "found camera 'front=x', expected SLOT=KEY with primary"),
        ({"camera": "primary=x"}, f"no camera 'x'; known: {lr.TOP}, {lr.WRIST}"),
    ],
)
def test_what_cannot_be_chosen_is_told_in_one_line(v3, options, expected):
    with pytest.raises(SourceError) as error:
        source_of(v3, **options)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["top", "wrist_left", "wrist_right"], {"primary": "top", "wrist": "wrist_right", "wrist_2": "wrist_left"}),
        (["side", "front", "cam_high"], {"primary": "cam_high", "secondary": "front"}),
        (["hand"], {"primary": "hand"}),
        (["image", "depth"], {"primary": "image"}),
    ],
)
def test_cameras_find_their_slots_by_name(keys, wanted):
    from dataengine.formats.lerobot.lerobot import Feature
    from dataengine.sources.lerobot import meaning

    features = {key: Feature(key, "video", (4, 4, 3), is_depth=key == "depth") for key in keys}
    chosen, left_out = meaning.cameras(features, "", "here")
    assert chosen == wanted
    assert set(left_out) == set(keys) - set(wanted.values())


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


def test_texts_become_instructions_at_their_frames_or_notes(v3):
    change_features(
        v3,
        language_instruction={"dtype": "string", "shape": [1], "names": None},
        operator={"dtype": "string", "shape": [1], "names": None},
    )
    for number, members in enumerate(((0, 1), (2,))):
        path = v3 / f"data/chunk-000/file-{number:03d}.parquet"
        table = pq.read_table(path)
        told = [f"do it{' well' if i else ''}" for i in members for _ in range(lr.LENGTHS[i])]
        operator = ["ann" if k < 4 else "bob" for i in members for k in range(lr.LENGTHS[i])]
        table = table.append_column("language_instruction", pa.array(told)).append_column(
            "operator", pa.array(operator)
        )
        numbers = [int(k > 5) for i in members for k in range(lr.LENGTHS[i])]
        pq.write_table(table.set_column(table.column_names.index("task_index"), "task_index", pa.array(numbers)), path)
    first = read_all(v3)[0]
    assert list(first.texts) == [
        Text(0, 6, ("pick the cube",)),
        Text(6, 12, ("place the cube",)),
        Text(0, 12, ("do it",)),
    ]
    assert json.loads(first.notes["operator"])[1] == {"start": 4, "end": 12, "text": "bob"}


def test_all_numbers_of_an_observation_are_kept_raw(v3):
    change_features(v3, observation__force={"dtype": "float32", "shape": [2, 2], "names": None})
    for number, members in enumerate(((0, 1), (2,))):
        path = v3 / f"data/chunk-000/file-{number:03d}.parquet"
        table = pq.read_table(path)
        force = [[[i, k], [2, 3]] for i in members for k in range(lr.LENGTHS[i])]
        pq.write_table(
            table.append_column("observation.force", pa.array(force, pa.list_(pa.list_(pa.float32())))), path
        )
    episode = read_all(v3)[1]
    assert episode.state.shape[1] == 3
    assert episode.raw_state[:, 3:].tolist() == [[1, k, 2, 3] for k in range(lr.LENGTHS[1])]


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
    for place in (repo, snapshot, repo / "snapshots"):
        found = read_all(place)
        assert_whole(found)
        assert (found[0].dataset, found[0].licence) == ("lerobot/ann/cubes", "apache-2.0")
    shutil.copytree(snapshot, repo / "snapshots/def", symlinks=True)
    with pytest.raises(SourceError, match=r"found 2 revisions \(abc, def\)"):
        source_of(repo)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("def")
    assert_whole(read_all(repo))


def test_a_bad_video_costs_the_episodes_that_need_it(v2):
    videos = v2 / f"videos/chunk-000/{lr.TOP}"
    (videos / "episode_000000.mp4").write_bytes(b"")
    lr.write_video(videos / "episode_000002.mp4", [9] * 11, (48, 64))
    found = read_all(v2)
    assert [isinstance(one, Episode) for one in found] == [False, True, False]
    assert reasons(found) == {
        "0": f"{lr.TOP}: episode_000000.mp4: the video has 0 bytes",
        "2": f"{lr.TOP}: episode_000002.mp4: shows 11 frames, the last at 1.000 s, the episode has 15 rows",
    }


def test_a_shared_video_that_is_short_costs_only_the_episodes_beyond_its_end(v3):
    path = v3 / f"videos/{lr.TOP}/chunk-000/file-000.mp4"
    lr.write_video(path, [lr.level(i, k) for i in range(3) for k in range(lr.LENGTHS[i])][:30], (48, 64))
    found = read_all(v3)
    assert [isinstance(one, Episode) for one in found] == [True, True, False]
    assert "shows 9 frames, the last at 2.900 s, the episode has 15 rows" in reasons(found)["2"]


def test_a_damaged_stretch_of_a_shared_video_spares_the_episodes_around_it(v3):
    path = v3 / f"videos/{lr.TOP}/chunk-000/file-000.mp4"
    levels = [lr.level(i, k) for i in range(3) for k in range(lr.LENGTHS[i])]
    lr.write_video(path, levels, (48, 64), codec="libsvtav1", options={"crf": "20", "svtav1-params": "lp=1:keyint=2"})
    assert_whole(read_all(v3))
    import av

    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for pos, size in packets[14:18]:  # within episode 1
        data[pos : pos + size] = bytes(255 - b for b in data[pos : pos + size])
    path.write_bytes(data)
    found = read_all(v3)
    assert [isinstance(one, Episode) for one in found] == [True, False, True]
    assert is_shown(found[2].cameras["primary"], 2)


def test_bad_rows_cost_their_episode(v2):
    for i, damage in enumerate((b"PAR1 nothing else", None)):
        path = v2 / f"data/chunk-000/episode_{i:06d}.parquet"
        path.unlink() if damage is None else path.write_bytes(damage)
    path = v2 / "data/chunk-000/episode_000002.parquet"
    pq.write_table(pq.read_table(path).slice(0, 14), path)
    found = reasons(read_all(v2))
    assert found["0"].startswith("data/chunk-000/episode_000000.parquet: not a readable parquet file")
    assert found["1"] == "data/chunk-000/episode_000001.parquet is missing"
    assert found["2"].endswith("episode_000002.parquet has 14 rows of the episode, its metadata say 15")
    assert not any("\n" in reason for reason in found.values())


@pytest.mark.parametrize("column", ["action", "index", "episode_index"])
def test_a_column_that_is_there_twice_costs_its_rows(v3, column):
    path = v3 / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column(column, table[column]), path)
    found = reasons(read_all(v3))
    assert list(found) == ["2"]
    assert f"has 2 columns named '{column}', expected one" in found["2"]


def test_an_index_of_episodes_that_is_a_list_costs_its_rows(v3):
    path = v3 / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("episode_index")
    pq.write_table(table.set_column(place, "episode_index", pa.array([[2]] * len(table))), path)
    assert reasons(read_all(v3)) == {
        "2": "data/chunk-000/file-001.parquet: episode_index is no plain column of numbers"
    }


def test_a_column_of_the_metadata_that_is_there_twice_is_told(v3):
    path = v3 / "meta/tasks.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("task_index", table["task_index"]), path)
    with pytest.raises(SourceError, match=r"tasks.parquet: .*has 2 columns named 'task_index', expected one"):
        read_all(v3)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("observation.state", [[0.0, 1.0, float("nan")]] * 15, "state[0, 2] is nan, expected a finite number"),
        ("observation.state", [[0.0, 1.0]] * 15, "observation.state has 2 values of float in a row, info.json says 3"),
        ("observation.state", [[0.0, 1.0, 2.0]] * 14 + [[0.0]], "observation.state has rows of 3 and of 1 values"),
        ("observation.state", [[0.0, 1.0, 2.0]] * 14 + [None], "observation.state has 1 rows without values"),
        ("action", None, "has no column 'action', which info.json declares"),
        ("frame_index", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15], "frame_index is not 0 to 14, once each"),
        ("frame_index", [0, 0, *range(2, 15)], "frame_index is not 0 to 14, once each"),
        ("frame_index", [*range(14), 14.5], "frame_index has values that are no whole numbers"),
        ("frame_index", [*range(14), float("nan")], "frame_index has values that are no whole numbers"),
        ("timestamp", [0.0] * 15, "timestamp does not rise from frame to frame"),
    ],
)
def test_rows_that_are_not_as_declared_are_told(v2, column, values, expected):
    path = v2 / "data/chunk-000/episode_000002.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(column)
    kind = pa.list_(pa.float32()) if column in lr.FEATURES else None
    table = table.remove_column(place) if values is None else table.set_column(place, column, pa.array(values, kind))
    pq.write_table(table, path)
    found = reasons(read_all(v2))
    assert list(found) == ["2"]
    assert expected in found["2"]


def test_metadata_that_do_not_parse_cost_their_episode(v2):
    lr.write_lines(
        v2 / "meta/episodes.jsonl",
        [
            {"episode_index": 0, "tasks": ["pick the cube"], "length": 12},
            '{"episode_index": 1, "tasks"\n',
            {"episode_index": 2, "length": -3},
            {"episode_index": 0, "tasks": [], "length": 12},
            {"episode_index": 1, "tasks": [], "length": 0},
        ],
    )
    found = reasons(read_all(v2))
    assert len(found) == 4
    assert found["meta/episodes.jsonl:2"].startswith("line 2: not JSON")
    assert found["meta/episodes.jsonl:3"] == "line 3: length is -3, expected a whole number"
    assert found["0 again (3)"] == "episode 0 is listed 2 times"
    assert found["1"] == "the episode has no frames"


def test_a_damaged_shard_of_the_metadata_costs_its_episodes(v3):
    lines = lr.read_lines(v3)
    lines[1][f"videos/{lr.TOP}/from_timestamp"] = None
    lr.write_entries(v3, lines[:2], lines[2:])
    (v3 / "meta/episodes/chunk-000/file-001.parquet").write_bytes(b"PAR1 nothing else")
    found = reasons(read_all(v3))
    assert found == {
        "meta/episodes/chunk-000/file-000.parquet:1": "meta/episodes/chunk-000/file-000.parquet, row 1: "
        f"videos/{lr.TOP}/from_timestamp is None, expected seconds",
        "meta/episodes/chunk-000/file-001.parquet": "meta/episodes/chunk-000/file-001.parquet: "
        "not a readable parquet file (ends in b'else', expected b'PAR1'; cut off as it was copied?); copy it again",
    }


ABSURD_RATES = (0, -10, 1e-300, 1e300, 10**400, float("nan"), float("inf"), "10", True, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"codebase_version": "v1.6"}, "found codebase_version v1.6, expected one of v2.0, v2.1, v3.0"),
        ({"storage_format": "lance"}, "found storage_format 'lance'"),
        *(({"fps": fps}, f"found fps {fps!r:.80}, expected a number from 0.01 to 1000") for fps in ABSURD_RATES),
        ({"robot_type": "a" * 200_000}, "found robot_type 'aaaaaaaaaaaaaaaaaaaa ...' of 200000 letters, expected 255"),
        ({"splits": {"train": f"0:{10**4000}"}}, "found split '0:10000"),
        ({"splits": {"x" * 300: "0:2"}}, "of 300 letters"),
        ({"chunks_size": True}, "found chunks_size True, expected a positive whole number"),
        ({"data_path": "a/" * 1000 + "{chunk_index}"}, "found data_path of 2013 letters, expected 1000 at most"),
        ({"features": {"a": {"dtype": "float32", "shape": [10**30]}}}, "expected 16777216 values at most"),
        ({"features": {"a": {"dtype": "float32", "shape": [1] * 10_000}}}, "feature 'a' has shape [1, 1,"),
        ({"features": {"a": {"dtype": "float32", "shape": [1], "names": ["b" * 900]}}}, "of 900 letters"),
        (
            {"features": {"a" * 300: {"dtype": "float32", "shape": [1]}}},
            "found a feature 'aaaaaaaaaaaaaaaaaaaa ...' of",
        ),
        ({"features": []}, "found no features"),
        ({"features": {"a/b": {"dtype": "float32", "shape": [1]}}}, "found a feature named 'a/b'"),
        ({"features": {"a": {"dtype": "float32", "shape": "x"}}}, "feature 'a' has shape 'x'"),
        ({"data_path": "../other/{chunk_index}.parquet"}, "leads out of the dataset"),
        ({"video_path": "/data/{video_key}.mp4"}, "leads out of the dataset"),
        ({"data_path": "data/{episode_name}.parquet"}, "expected one with chunk_index, file_index"),
    ],
)
def test_an_info_file_that_cannot_be_used_stops_the_command_in_one_line(v3, changes, expected):
    change_info(v3, **changes)
    with pytest.raises(SourceError) as error:
        source_of(v3).parts()
    assert expected in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_what_an_export_says_of_itself_has_an_end(v3):
    (v3 / "meta/villa.json").write_text(json.dumps({"embodiment": "a" * 256}))
    with pytest.raises(SourceError, match=r"villa.json: found a text 'embodiment' 'a+ ...' of 256 letters"):
        source_of(v3)


def test_a_wrong_root_is_told_in_one_line(v3, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    unlisted = shutil.copytree(v3, tmp_path / "deep/unlisted")
    shutil.rmtree(unlisted / "meta/episodes")
    for place, expected in (
        (tmp_path / "nowhere", "found nothing, expected a LeRobot dataset with meta/info.json"),
        (tmp_path / "empty", "found an empty folder"),
        (tmp_path / "other", "found no meta/info.json, expected a LeRobot dataset"),
        (v3 / "meta", f"one level too low; pass {v3}"),
        (tmp_path / "deep", f"found no meta/info.json; pass {unlisted}"),
        (unlisted, "found no parquet file, expected them in v3.0; download them"),
        ("s3://bucket/cubes", "LeRobot datasets are read from a disk"),
    ):
        with pytest.raises(SourceError) as error:
            source_of(place).parts()
        assert expected in str(error.value)
        assert "\n" not in str(error.value)
    (v3 / "meta/info.json").write_text("{")
    with pytest.raises(SourceError, match="not JSON"):
        source_of(v3)
