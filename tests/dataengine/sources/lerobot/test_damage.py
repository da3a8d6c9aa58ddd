"""What is damaged in a LeRobot dataset costs its episodes; what cannot be used stops in one line."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine.episode import Episode
from dataengine.errors import SourceError
from tests.support import lerobot_writer as lr
from tests.support.lerobot_found import assert_whole, is_shown, reasons
from tests.support.lerobot_tree import change_info, read_all, source_of


def test_a_bad_video_costs_the_episodes_that_need_it(v2):
    videos = v2 / f"videos/chunk-000/{lr.TOP}"
    (videos / "episode_000000.mp4").write_bytes(b"")
    lr.write_video(videos / "episode_000002.mp4", [9] * 11, (48, 64))
    outcomes = read_all(v2)
    assert [isinstance(one, Episode) for one in outcomes] == [False, True, False]
    assert reasons(outcomes) == {
        "0": f"{lr.TOP}: episode_000000.mp4: the video has 0 bytes",
        "2": f"{lr.TOP}: episode_000002.mp4: shows 11 frames, the last at 1.000 s, the episode has 15 rows",
    }


def test_a_shared_video_that_is_short_costs_only_the_episodes_beyond_its_end(v3):
    path = v3 / f"videos/{lr.TOP}/chunk-000/file-000.mp4"
    lr.write_video(path, [lr.level(i, k) for i in range(3) for k in range(lr.LENGTHS[i])][:30], (48, 64))
    outcomes = read_all(v3)
    assert [isinstance(one, Episode) for one in outcomes] == [True, True, False]
    assert "shows 9 frames, the last at 2.900 s, the episode has 15 rows" in reasons(outcomes)["2"]


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
    outcomes = read_all(v3)
    assert [isinstance(one, Episode) for one in outcomes] == [True, False, True]
    assert is_shown(outcomes[2].cameras["primary"], 2)


def test_bad_rows_cost_their_episode(v2):
    for i, damage in enumerate((b"PAR1 nothing else", None)):
        path = v2 / f"data/chunk-000/episode_{i:06d}.parquet"
        path.unlink() if damage is None else path.write_bytes(damage)
    path = v2 / "data/chunk-000/episode_000002.parquet"
    pq.write_table(pq.read_table(path).slice(0, 14), path)
    reasons_given = reasons(read_all(v2))
    assert reasons_given["0"].startswith("data/chunk-000/episode_000000.parquet: not a readable parquet file")
    assert reasons_given["1"] == "data/chunk-000/episode_000001.parquet is missing"
    assert reasons_given["2"].endswith("episode_000002.parquet has 14 rows of the episode, its metadata say 15")
    assert not any("\n" in reason for reason in reasons_given.values())


@pytest.mark.parametrize("column", ["action", "index", "episode_index"])
def test_a_column_that_is_there_twice_costs_its_rows(v3, column):
    path = v3 / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column(column, table[column]), path)
    reasons_given = reasons(read_all(v3))
    assert list(reasons_given) == ["2"]
    assert f"has 2 columns named '{column}', expected one" in reasons_given["2"]


def test_an_index_of_episodes_that_is_a_list_costs_its_rows(v3):
    path = v3 / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    index = table.column_names.index("episode_index")
    pq.write_table(table.set_column(index, "episode_index", pa.array([[2]] * len(table))), path)
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
    index = table.column_names.index(column)
    kind = pa.list_(pa.float32()) if column in lr.FEATURES else None
    table = table.remove_column(index) if values is None else table.set_column(index, column, pa.array(values, kind))
    pq.write_table(table, path)
    reasons_given = reasons(read_all(v2))
    assert list(reasons_given) == ["2"]
    assert expected in reasons_given["2"]


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
    reasons_given = reasons(read_all(v2))
    assert len(reasons_given) == 4
    assert reasons_given["meta/episodes.jsonl:2"].startswith("line 2: not JSON")
    assert reasons_given["meta/episodes.jsonl:3"] == "line 3: length is -3, expected a whole number"
    assert reasons_given["0 again (3)"] == "episode 0 is listed 2 times"
    assert reasons_given["1"] == "the episode has no frames"


def test_a_damaged_shard_of_the_metadata_costs_its_episodes(v3):
    lines = lr.read_lines(v3)
    lines[1][f"videos/{lr.TOP}/from_timestamp"] = None
    lr.write_entries(v3, lines[:2], lines[2:])
    (v3 / "meta/episodes/chunk-000/file-001.parquet").write_bytes(b"PAR1 nothing else")
    reasons_given = reasons(read_all(v3))
    assert reasons_given == {
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
    for root, expected in (
        (tmp_path / "nowhere", "found nothing, expected a LeRobot dataset with meta/info.json"),
        (tmp_path / "empty", "found an empty folder"),
        (tmp_path / "other", "found no meta/info.json, expected a LeRobot dataset"),
        (v3 / "meta", f"one level too low; pass {v3}"),
        (tmp_path / "deep", f"found no meta/info.json; pass {unlisted}"),
        (unlisted, "found no parquet file, expected them in v3.0; download them"),
        ("s3://bucket/cubes", "LeRobot datasets are read from a disk"),
    ):
        with pytest.raises(SourceError) as error:
            source_of(root).parts()
        assert expected in str(error.value)
        assert "\n" not in str(error.value)
    (v3 / "meta/info.json").write_text("{")
    with pytest.raises(SourceError, match="not JSON"):
        source_of(v3)
