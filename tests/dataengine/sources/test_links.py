"""Nothing outside of a dataset's root is read: links that leave it are refused by name, others are followed."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine import catalog
from dataengine.episode import Episode, Reject
from dataengine.errors import RecordError, SourceError
from dataengine.formats import files, parquet, rlds
from dataengine.sources.rh20t import scenes
from dataengine.sources.something_something import SomethingSomething
from tests.support import lerobot_writer as lr
from tests.support.agibot_tree import TASK, write_tree


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "file").write_text("secret")
    return tmp_path / "private" / "file"


def test_a_link_may_lead_anywhere_within_the_root_also_where_the_root_is_one(tmp_path: Path, secret: Path) -> None:
    root = tmp_path / "data"
    (root / "videos").mkdir(parents=True)
    (root / "kept").write_text("a")
    (root / "videos" / "a").symlink_to(root / "kept")
    (root / "videos" / "b").symlink_to("../../private/file")
    (root / "videos" / "c").symlink_to(tmp_path / "private")
    (tmp_path / "linked").symlink_to(root)
    for folder in (root, tmp_path / "linked"):
        assert files.inside(folder / "videos" / "a", folder) == folder / "videos" / "a"
        for name in ("b", "c/file"):
            with pytest.raises(RecordError, match=f"leads out of the root to {secret}; put a copy in its place, or"):
                files.inside(folder / "videos" / name, folder)


def test_folders_that_the_user_names_may_be_linked_to(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(secret)
    monkeypatch.setenv("VILLA_LINKS", f"/nowhere{os.pathsep}{secret.parent}")
    files._homes.cache_clear()
    assert files.inside(tmp_path / "data" / "a", tmp_path / "data")
    files._homes.cache_clear()


def test_a_snapshot_of_a_hub_cache_reads_its_own_blobs_and_no_others(tmp_path: Path, secret: Path) -> None:
    repo = tmp_path / "datasets--ann--cubes"
    (repo / "blobs").mkdir(parents=True)
    (repo / "blobs" / "0").write_text("a")
    (repo / "snapshots" / "abc" / "1.0.0").mkdir(parents=True)
    for name, target in (("mine", "../../../blobs/0"), ("other", secret)):
        (repo / "snapshots/abc/1.0.0" / name).symlink_to(target)
    for root in (repo / "snapshots/abc", repo / "snapshots/abc/1.0.0"):
        assert files.inside(repo / "snapshots/abc/1.0.0/mine", root)
        with pytest.raises(RecordError, match="leads out of the root"):
            files.inside(repo / "snapshots/abc/1.0.0/other", root)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_json_of_an_rlds_dataset_that_is_a_link_out_stops_the_command(name: str, tmp_path: Path, secret: Path) -> None:
    for file in ("features.json", "dataset_info.json"):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / file).write_text("{}")
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name).symlink_to(secret)
    with pytest.raises(SourceError, match=f"{name} leads out of the root"):
        rlds.schema(tmp_path / "a")


def test_a_clip_or_a_file_of_labels_that_is_a_link_out_is_not_read(tmp_path: Path, secret: Path) -> None:
    root = tmp_path / "ssv2"
    (root / "20bn-something-something-v2").mkdir(parents=True)
    (root / "20bn-something-something-v2" / "1.webm").symlink_to(secret)
    (root / "train.json").write_text(json.dumps([{"id": "1", "label": "Lifting"}]))
    source = SomethingSomething(str(root))
    (reject,) = source.read(source.parts()[0])
    assert isinstance(reject, Reject)
    assert reject.reason.startswith(f"1.webm leads out of the root to {secret}")
    (root / "train.json").rename(tmp_path / "labels.json")
    (root / "train.json").symlink_to(tmp_path / "labels.json")
    with pytest.raises(SourceError, match=r"train\.json leads out of the root"):
        source.parts()


def test_a_few_links_to_the_root_do_not_make_a_tree_without_end(tmp_path: Path) -> None:
    (tmp_path / "task_0001_user_0001_scene_0001_cfg_0001").mkdir()
    for i in range(60):
        (tmp_path / f"round{i}").symlink_to(tmp_path)
    (scene,) = scenes.find(tmp_path)
    assert scene.folders == (tmp_path,)


def test_pipes_and_devices_in_a_dataset_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "features.json")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"name": "toy", "splits": []}))
    with pytest.raises(SourceError, match="no regular file"):
        rlds.schema(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert files.fingerprint(tmp_path / "pipe") == "missing"
    assert files.size(tmp_path / ("a" * 70_000)) is None
    assert files.fingerprint_of_sizes([tmp_path / ("a" * 70_000)], "\ud800") != files.fingerprint_of_sizes([])


def move_out(path: Path, folder: Path) -> None:
    """Leave a link where a file or folder was."""
    folder.mkdir(exist_ok=True)
    path.rename(folder / path.name)
    path.symlink_to(folder / path.name)


@pytest.mark.parametrize("kind", ["video", "numbers", "task_info", "episode", "archive"])
def test_a_link_out_of_agibot_costs_what_lies_behind_it(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "agibot"
    write_tree(root, TASK, ["648642", "648643"])
    source = catalog.source("agibot")(str(root))
    path = {
        "video": root / f"observations/{TASK}/648642/videos/head_color.mp4",
        "numbers": root / f"proprio_stats/{TASK}/648642/proprio_stats.h5",
        "episode": root / f"observations/{TASK}/648642",
        "task_info": root / f"task_info/task_{TASK}.json",
        "archive": root / f"observations/{TASK}/648700-648800.tar",
    }[kind]
    if kind == "archive":
        path.write_bytes(bytes(1024))
    move_out(path, tmp_path / "elsewhere")
    outcomes = [record for part in source.parts() for record in source.read(part)]
    bad = [record.reason for record in outcomes if isinstance(record, Reject)]
    assert len(bad) == 1
    assert "leads out of the root" in bad[0]
    assert sum(isinstance(record, Episode) for record in outcomes) == {"task_info": 0, "archive": 2}.get(kind, 1)


def test_a_folder_of_agibot_that_is_a_link_out_stops_the_command_unless_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "agibot"
    write_tree(root, TASK, ["648642"])
    move_out(root / "observations", tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"observations leads out of the root .* VILLA_LINKS"):
        catalog.source("agibot")(str(root)).parts()
    monkeypatch.setenv("VILLA_LINKS", str(tmp_path / "elsewhere"))
    files._homes.cache_clear()
    source = catalog.source("agibot")(str(root))
    assert all(isinstance(record, Episode) for part in source.parts() for record in source.read(part))
    files._homes.cache_clear()


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_link_out_of_a_lerobot_dataset_costs_what_lies_behind_it(version: str, tmp_path: Path) -> None:
    root = (lr.write_v3 if version == "v3.0" else lr.write_v2)(tmp_path / "cubes")
    move_out(sorted(root.rglob("*.parquet" if version == "v2.1" else "file-001.parquet"))[0], tmp_path / "elsewhere")
    source = catalog.source("lerobot")(str(root))
    outcomes = [record for part in source.parts() for record in source.read(part)]
    (bad,) = [record.reason for record in outcomes if isinstance(record, Reject)]
    assert "leads out of the root" in bad
    move_out(root / "meta/info.json", tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"info\.json leads out of the root"):
        catalog.source("lerobot")(str(root))


def test_a_column_of_a_billion_equal_numbers_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lr.write_v2(tmp_path / "cubes")
    path = sorted(root.rglob("*.parquet"))[0]
    table = pq.read_table(path)
    rows = {name: pa.nulls(2**20, table[name].type) for name in table.column_names}
    rows["timestamp"] = pa.array(np.zeros(2**20))
    pq.write_table(pa.table(rows), path)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(parquet, "MAX_VALUES", 2**18)
    source = catalog.source("lerobot")(str(root))
    outcomes = [record for part in source.parts() for record in source.read(part)]
    (bad,) = [record.reason for record in outcomes if isinstance(record, Reject)]
    assert "unpacks to" in bad


def test_names_that_no_file_can_have_cost_their_episodes(tmp_path: Path) -> None:
    root = lr.write_v2(tmp_path / "cubes")
    info = json.loads((root / "meta/info.json").read_text())
    info["data_path"] = f"data/{'a' * 900}{{episode_index}}.parquet"
    (root / "meta/info.json").write_text(json.dumps(info))
    source = catalog.source("lerobot")(str(root))
    outcomes = [record for part in source.parts() for record in source.read(part)]
    assert len(outcomes) == 3
    assert all(isinstance(record, Reject) and len(record.reason) <= 500 for record in outcomes)
