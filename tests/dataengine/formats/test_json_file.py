"""JSON and YAML of others: what is sound comes back, what is too large or too deep is refused in one line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataengine.errors import DataEngineError, RecordError, SourceError
from dataengine.formats import json_file, rlds, yaml_file
from dataengine.formats.lerobot import lerobot
from dataengine.formats.lerobot.entries import read_entries
from dataengine.sources.agibot import labels
from dataengine.sources.rh20t import scenes
from dataengine.sources.rh20t.scenes import Scene
from dataengine.sources.something_something import SomethingSomething
from pipelines.recipes import recipes

DEEP = "[" * 100_000
TOO_DEEP = '{"a":' * 200 + "0" + "}" * 200
"""Python reads it, and then whoever walks over it by recursion is in trouble."""
NOT_UTF8 = b'{"name": "\xff\xfe"}'
MANY_DIGITS = '{"length": ' + "9" * 5_000 + "}"


def test_what_json_wrote_comes_back(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True, 'ä\n"[{,'], "b": {"c": {}}}
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert json_file.read(tmp_path / "a.json") == value
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps(value), "", "{", json.dumps([3])]))
    assert [(number, decoded) for number, decoded, problem in json_file.lines(tmp_path / "a.jsonl") if not problem] == [
        (1, value),
        (4, [3]),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DEEP, "more than 100 deep"),
        (TOO_DEEP, "more than 100 deep"),
        (NOT_UTF8, "not JSON .*utf-8"),
        (MANY_DIGITS, "not JSON .*digits"),
        ('{"a": 1,}', "not JSON .*line 1"),
        ("", "not JSON"),
        ("[" + "{}," * 3_000_001 + "0]", "more than 3000000 objects"),
    ],
)
def test_whatever_is_wrong_is_one_error_in_one_line(text: str | bytes, reason: str) -> None:
    with pytest.raises(json_file.JsonError, match=reason) as error:
        json_file.loads(text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_huge_or_a_pipe_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**40)  # no byte of it is on the disk
    os.mkfifo(tmp_path / "pipe.json")
    for name, reason in (
        ("no.json", "No such file"),
        ("huge.json", "has 1099511627776 bytes"),
        ("pipe.json", "no regular file"),
    ):
        with pytest.raises(json_file.JsonError, match=reason):
            json_file.read(tmp_path / name)


def test_a_line_that_is_too_long_or_too_deep_costs_that_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_LINE_BYTES", 200_000)
    (tmp_path / "a.jsonl").write_text("\n".join(['{"a": 0}', DEEP, '"' + "a" * 500_000 + '"', '{"a": 1}']))
    lines = list(json_file.lines(tmp_path / "a.jsonl"))
    assert [(number, value) for number, value, problem in lines if not problem] == [(1, {"a": 0}), (4, {"a": 1})]
    assert [number for number, _, problem in lines if problem] == [2, 3]


def test_lines_are_read_of_regular_files_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_LINES", 3)
    (tmp_path / "lines.jsonl").write_text("1\n\n2\n")
    assert [value for _, value, _ in json_file.lines(tmp_path / "lines.jsonl")] == [1, 2]
    (tmp_path / "many.jsonl").write_text("\n" * 4)
    with (tmp_path / "huge.jsonl").open("wb") as file:
        file.truncate(2**40)  # no byte of it is on the disk
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, reason in (
        ("no", "No such file"),
        ("many", "more than 3 lines"),
        ("huge", "has 1099511627776 bytes"),
        ("pipe", "no regular file"),
    ):
        with pytest.raises(json_file.JsonError, match=reason):
            list(json_file.lines(tmp_path / f"{name}.jsonl"))


def damaged_rlds(root: Path, text: str, name: str) -> None:
    (root / "dataset_info.json").write_text(json.dumps({"name": "toy", "splits": []}))
    (root / "features.json").write_text(json.dumps({"pythonClassName": "FeaturesDict", "featuresDict": {}}))
    (root / name).write_text(text)
    rlds.shards(root)
    rlds.schema(root)


def damaged_lerobot(root: Path, text: str) -> None:
    (root / "meta").mkdir()
    (root / "meta/info.json").write_text(text)
    lerobot.read_info(root)


def damaged_labels(root: Path, text: str) -> None:
    (root / "task_info").mkdir()
    (root / "task_info/task_1.json").write_text(text)
    labels.read(root, "1")


def damaged_descriptions(root: Path, text: str) -> None:
    (root / "task_description.json").write_text(text)
    scenes.descriptions(root / "task_description.json")


def damaged_metadata(root: Path, text: str) -> None:
    name = "task_0001_user_0001_scene_0001_cfg_0001"
    (root / name).mkdir()
    (root / name / "metadata.json").write_text(text)
    Scene(name, root, (root,)).metadata()


def damaged_clips(root: Path, text: str) -> None:
    (root / "20bn-something-something-v2").mkdir()
    (root / "train.json").write_text(text)
    SomethingSomething(str(root)).parts()


@pytest.mark.parametrize("text", [DEEP, TOO_DEEP, MANY_DIGITS, '{"a": "\udcff"}'.encode("utf-8", "surrogateescape")])
@pytest.mark.parametrize(
    "read",
    [
        lambda root, text: damaged_rlds(root, text, "features.json"),
        lambda root, text: damaged_rlds(root, text, "dataset_info.json"),
        damaged_lerobot,
        damaged_labels,
        damaged_descriptions,
        damaged_metadata,
        damaged_clips,
    ],
    ids=["features", "dataset_info", "lerobot", "agibot", "rh20t", "rh20t metadata", "something_something"],
)
def test_every_reader_of_json_names_the_file_and_what_is_wrong(
    read: Callable[[Path, Any], None], text: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr(Path, "write_text", _write_raw(Path.write_text, text, raw))
    with pytest.raises((SourceError, RecordError), match=r"\.json: .*not JSON") as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def _write_raw(plain: Callable[..., int], text: str | bytes, raw: bytes) -> Callable[..., int]:
    """Let the cases above write bytes that are no text."""
    return lambda path, given, *rest: path.write_bytes(raw) if given is text else plain(path, given, *rest)


def test_an_episode_with_a_number_of_thousands_of_digits_is_a_bad_line(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    about = {"codebase_version": "v2.1", "fps": 10, "features": {}, "data_path": "data/{episode_index}.parquet"}
    (tmp_path / "meta/info.json").write_text(json.dumps(about))
    lines = [{"episode_index": 0, "length": 10**400}, {"episode_index": 10**400, "length": 3}]
    (tmp_path / "meta/episodes.jsonl").write_text("\n".join([DEEP, *map(json.dumps, lines)]))
    deep, long, far = read_entries(lerobot.read_info(tmp_path))
    assert "line 1: not JSON" in deep.problem
    assert "line 2: length is 1000" in long.problem
    assert "line 3: episode_index is 1000" in far.problem
    assert len(long.problem + far.problem) < 400


LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "a: &a {b: 1}\nc: &c {<<: [*a, *a]}\n" + "".join(
    f"d{i}: &d{i} {{<<: [{', '.join([f'*d{i - 1}' if i else '*c'] * 20)}]}}\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "stands for more than 100000 values"),
        (MERGED, "stands for more than 100000 values"),
        ("a: &a [*a]", "more than 50 deep"),
        ("[" * 60 + "]" * 60, "more than 50 deep"),
        ("[" * 30_000, "more than 5000 brackets"),
        ("#" * 150_000, "more than 131072 bytes"),
        ("a: 2024-99-99", "month must be in"),
        ('a: "\\ud800"', "surrogates not allowed"),
        ('"\\udc00": a', "surrogates not allowed"),
    ],
)
def test_yaml_that_stands_for_more_than_it_holds_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError, match=reason):
        yaml_file.load(text)
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(DataEngineError, match=f"plan.yaml: no valid YAML: .*{reason}"):
        recipes.load("ingest", str(tmp_path / "plan.yaml"))


def test_aliases_that_repeat_a_few_settings_are_read() -> None:
    assert yaml_file.load("a: &a {b: 1}\nc: {<<: *a, d: [*a, *a]}") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": [{"b": 1}, {"b": 1}]},
    }
