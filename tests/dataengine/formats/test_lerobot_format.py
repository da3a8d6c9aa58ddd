"""How LeRobot's bytes lie: rows found by their numbers, each file read once and forwards."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine.errors import RecordError, SourceError
from dataengine.formats.lerobot import entries as lerobot_entries
from dataengine.formats.lerobot import lerobot
from dataengine.formats.lerobot.entries import read_entries
from dataengine.formats.lerobot.lerobot import Feature
from dataengine.formats.lerobot.rows import RowReader, numbers, texts
from tests.support import lerobot_writer as lr


@pytest.fixture
def v3(tmp_path):
    return lr.write_v3(tmp_path / "cubes")


def open_all(root):
    info = lerobot.read_info(lerobot.find_root(root))
    return info, read_entries(info)


def test_only_the_row_groups_that_may_hold_an_episode_are_read(v3, monkeypatch):
    info, entries = open_all(v3)
    read, plain = [], pq.ParquetFile.read_row_group

    def counted(file, group, **kwargs):
        read.append(group)
        return plain(file, group, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    rows = RowReader(info, ["observation.state", "frame_index", "index"])
    for i, entry in enumerate(entries):
        state = numbers(rows.read(entry), info.features["observation.state"])
        assert np.array_equal(state, lr.state_of(i).astype(np.float32))
    assert read == [0, 1, 0]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["meta/episodes/chunk-000/file-000.parquet", "meta/tasks.parquet", "README.md"])
def test_a_pipe_in_place_of_metadata_is_told_and_not_waited_for(v3, name):
    (v3 / name).unlink(missing_ok=True)
    os.mkfifo(v3 / name)
    with pytest.raises(SourceError, match=f"{name}: is no regular file, expected one"):
        open_all(v3)


@pytest.mark.parametrize("total", [3, 10**9, None])
def test_more_episodes_than_there_can_be_stop_the_command_before_they_are_read(v3, monkeypatch, total):
    path, declared = v3 / "meta/episodes/chunk-000/file-000.parquet", json.loads((v3 / "meta/info.json").read_text())
    lr.write_json(v3 / "meta/info.json", declared | {"total_episodes": total})
    assert [entry.record for entry in open_all(v3)[1]] == ["0", "1", "2"]
    pq.write_table(pq.read_table(path).take(pa.array(np.zeros(2**20 + 1, np.int64))), path)
    assert path.stat().st_size < 300_000
    monkeypatch.setattr(lerobot_entries, "read_table", None)
    expected = "3 by total_episodes of meta/info.json" if total == 3 else "1048576 at most"
    with pytest.raises(SourceError, match=f"file-000.parquet: .* 1048577 episodes are listed, expected {expected}"):
        open_all(v3)


@pytest.mark.parametrize("total", [3, None])
def test_more_lines_of_episodes_than_there_can_be_stop_the_command(tmp_path, monkeypatch, total):
    root = lr.write_v2(tmp_path / "cubes")
    path, declared = root / "meta/episodes.jsonl", json.loads((root / "meta/info.json").read_text())
    lr.write_json(root / "meta/info.json", declared | {"total_episodes": total})
    assert [entry.record for entry in open_all(root)[1]] == ["0", "1", "2"]
    monkeypatch.setattr(lerobot_entries, "MAX_EPISODES", 2000)
    path.write_text("{}\n" * 2001)
    expected = "1007 episodes are listed, expected 3 by" if total == 3 else "2001 episodes are listed, expected 2000 at"
    with pytest.raises(SourceError, match=f"episodes.jsonl: .* {expected}"):
        open_all(root)
    with path.open("wb") as file:
        file.truncate(2**40)  # no byte of it is on the disk
    with pytest.raises(SourceError, match=r"episodes.jsonl: has 1099511627776 bytes, expected 268435456 at most"):
        open_all(root)


def test_a_table_of_tasks_without_end_stops_the_command(v3):
    pq.write_table(pa.table({"task_index": np.zeros(2**21 + 1, np.int64)}), v3 / "meta/tasks.parquet")
    info, _ = open_all(v3)
    with pytest.raises(SourceError, match=r"tasks.parquet: has 2097153 rows, expected 2097152 at most"):
        lerobot.read_tasks(info)


@pytest.mark.parametrize(
    ("numbers_of", "texts_of", "reason"),
    [
        ([[0]], ["a"], r"row 0 is \{'task_index': \[0\], 'task': 'a'\}, expected a whole number and a text"),
        ([0], [["a"]], r"row 0 is \{'task_index': 0, 'task': \['a'\]\}, expected a whole number and a text"),
        ([0.5], ["a"], r"row 0 is \{'task_index': 0.5, 'task': 'a'\}, expected a whole number and a text"),
        ([0], [7], "row 0 is "),
        ([0], pa.array([b"\xff"]).cast(pa.binary()).view(pa.string()), "a value cannot be read .*utf-8"),
    ],
)
def test_a_table_of_tasks_of_odd_types_stops_the_command(v3, numbers_of, texts_of, reason):
    info, _ = open_all(v3)
    pq.write_table(pa.table({"task_index": [None, 3.0], "task": ["a", "b"]}), v3 / "meta/tasks.parquet")
    assert lerobot.read_tasks(info) == {3: "b"}
    pq.write_table(pa.table({"task_index": numbers_of, "task": texts_of}), v3 / "meta/tasks.parquet")
    with pytest.raises(SourceError, match=f"tasks.parquet: {reason}"):
        lerobot.read_tasks(info)


@pytest.mark.parametrize("value", [[1], float("inf"), "1", 0.5])
def test_an_episode_whose_rows_are_no_numbers_costs_that_episode(v3, value):
    lines = lr.read_lines(v3)
    lr.write_entries(v3, [{**line, "dataset_from_index": value} for line in lines[:1]], lines[1:])
    first, *others = open_all(v3)[1]
    assert "dataset_from_index is " in first.problem and "expected a whole number" in first.problem
    assert [entry.problem for entry in others] == ["", ""]


def test_an_episode_that_starts_nowhere_in_its_video_costs_that_episode(v3):
    lines = lr.read_lines(v3)
    key = next(name for name in lines[0] if name.endswith("from_timestamp"))
    lr.write_entries(v3, [{**lines[0], key: float("nan")}], lines[1:])
    assert [entry.problem[-37:] for entry in open_all(v3)[1]] == [
        "from_timestamp is nan, expected seconds"[-37:],
        "",
        "",
    ]


def test_rows_of_all_files_of_the_metadata_are_counted_together(v3, monkeypatch):
    monkeypatch.setattr(lerobot_entries, "MAX_EPISODES", 3)
    lines = lr.read_lines(v3)
    lr.write_entries(v3, lines[:2], lines[1:])
    with pytest.raises(SourceError, match=r"file-001.parquet: .* 4 episodes are listed, expected 3 at most"):
        open_all(v3)


def test_a_number_of_episodes_that_somebody_forgot_to_raise_stops_nothing(v3):
    declared = json.loads((v3 / "meta/info.json").read_text())
    lr.write_json(v3 / "meta/info.json", declared | {"total_episodes": 1})
    assert [entry.record for entry in open_all(v3)[1]] == ["0", "1", "2"]


def test_rows_that_do_not_fit_the_metadata_are_told(v3):
    path = v3 / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    info, entries = open_all(v3)
    for broken, expected in (
        (table.slice(1), "has 14 rows of the episode, its metadata say 15"),
        (pa.concat_tables([table, table]), "has 30 rows of the episode, its metadata say 15"),
        (table.drop_columns(["episode_index"]), "has no column 'episode_index'"),
        (table.drop_columns(["action"]), "has no column 'action', which info.json declares"),
    ):
        pq.write_table(broken, path)
        with pytest.raises(RecordError, match=expected):
            RowReader(info, ["action"]).read(entries[2])


def test_numbers_come_out_of_any_nesting():
    values = np.arange(12).reshape(3, 4)
    for kind in (pa.list_(pa.float32(), 4), pa.list_(pa.float64()), pa.large_list(pa.int16())):
        table = pa.table({"a": pa.array(values.tolist(), kind)})
        assert numbers(table, Feature("a", "float32", (4,))).tolist() == values.tolist()
    nested = pa.table({"a": pa.array(values.reshape(3, 2, 2).tolist(), pa.list_(pa.list_(pa.float32())))})
    assert numbers(nested, Feature("a", "float32", (2, 2))).tolist() == values.tolist()
    flags = pa.chunked_array([[True], [], [False, True]])
    assert numbers(pa.table({"a": flags}), Feature("a", "bool", (1,))).tolist() == [[True], [False], [True]]
    with pytest.raises(RecordError, match=r"a has 4 values of string in a row, info.json says 4 of float32"):
        numbers(pa.table({"a": [["x"] * 4]}), Feature("a", "float32", (4,)))


def test_texts_come_out_of_any_nesting():
    assert texts(pa.table({"a": ["x", None]}), "a") == ([("x",), ()], [])
    assert texts(pa.table({"a": [["x"], ["y", " ", "z"]]}), "a") == ([("x",), ("y", "z")], [])
    assert texts(pa.table({"a": [b"x", b"\xff"]}), "a") == ([("x",), ()], [1])
    nested = pa.array([[["x"]], [["y", "z"], []]])
    assert texts(pa.table({"a": nested}), "a") == ([("x",), ("y", "z")], [])


def test_paths_take_numbers_and_names_and_obey_nothing_else():
    assert lerobot.fill("a/{chunk_index:03d}/{key}.{file_index}", {"chunk_index": 7, "key": "k", "file_index": 1}) == (
        "a/007/k.1"
    )
    for template in ("{chunk_index.__class__}", "{chunk_index:>99999999d}", "{chunk_index!r}", "{"):
        assert lerobot.fill(template, {"chunk_index": 7}) == template


@pytest.mark.parametrize(
    ("path", "is_below"),
    [
        ("data/a.parquet", True),
        ("data/..a", True),
        ("../a", False),
        ("data/../../a", False),
        ("/a", False),
        ("..\\a", False),
        ("C:/a", False),
    ],
)
def test_a_path_that_leads_out_of_the_dataset_is_noticed(path, is_below):
    assert lerobot.is_below(path) is is_below


def test_a_split_is_a_range_of_episodes_or_train(v3):
    info, _ = open_all(v3)
    assert [info.split(i) for i in (0, 1, 2, 3)] == ["train", "train", "test", "train"]


def test_tasks_are_read_in_both_spellings(tmp_path, v3):
    wanted = {0: "pick the cube", 1: "place the cube"}
    assert lerobot.read_tasks(open_all(v3)[0]) == wanted
    assert lerobot.read_tasks(open_all(lr.write_v2(tmp_path / "old"))[0]) == wanted
    pq.write_table(pa.table({"task_index": [0]}), v3 / "meta/tasks.parquet")
    with pytest.raises(SourceError, match="found columns task_index, expected task_index and the text"):
        lerobot.read_tasks(open_all(v3)[0])


def test_names_are_listed_however_they_are_nested(v3):
    path = v3 / "meta/info.json"
    raw = json.loads(path.read_text())
    for names, wanted, group in (
        (["a", "b", "c"], ("a", "b", "c"), ""),
        ({"motors": ["a", "b", "c"]}, ("a", "b", "c"), "motors"),
        ({"left": ["a"], "right": ["b", "c"]}, ("a", "b", "c"), "left right"),
        ({"b": 1, "a": 0, "c": 2}, ("a", "b", "c"), ""),
        (None, (), ""),
    ):
        raw["features"]["action"]["names"] = names
        path.write_text(json.dumps(raw))
        feature = lerobot.read_info(v3).features["action"]
        assert (feature.names, feature.group) == (wanted, group)
