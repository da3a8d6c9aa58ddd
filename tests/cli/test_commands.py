"""The commands that look: sources, doctor, show, corpus, docs; and bad input to those that write."""

import re
from collections import Counter
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
from PIL import Image

from pipelines import doctor
from tests.support.corpora import make_corpus, robot_episode


def test_sources_are_a_list_of_objects(villa):
    said = villa("sources", "--json")
    assert said.code == 0
    by_name = {source["name"]: source for source in said.report}
    assert {"openx/metaworld", "openx/fetch", "agibot", "something_something"} <= by_name.keys()
    for source in by_name.values():
        assert source.keys() >= {"name", "kind", "embodiment", "control_hz", "layout", "licence"}
    assert by_name["something_something"]["kind"] == "human"


def test_sources_can_be_narrowed(villa):
    assert [source["name"] for source in villa("sources", "fetch", "--json").report] == ["openx/fetch"]
    said = villa("sources", "no-such")
    assert said.code == 2
    assert "agibot" in said.line


def test_a_source_says_what_holds_where_its_settings_are_not_given(villa):
    (folder,) = villa("sources", "video/folder", "--json").report
    assert folder["options"]["--window-s FLOAT"] == (
        "Seconds of a clip where a whole video is divided. [default: 30.0]"
    )
    shown = villa("sources", "video/folder").out
    assert "context on both sides. [default: 2.0]" in shown
    assert "that of the folder. [default: video/{name}]" in shown
    assert "proposal is printed.\n" in villa("sources", "openx/auto").out, "nothing is no default to show"


def test_an_unknown_source_suggests_a_near_one(villa, tmp_path):
    said = villa("ingest", "openx/metawrld", tmp_path, "--corpus", tmp_path / "corpus")
    assert said.code == 2
    assert "did you mean 'openx/metaworld'?" in said.line


@pytest.mark.parametrize("source", ["openx/metaworld", "agibot", "something_something"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_missing_or_empty_folder_is_one_line(villa, tmp_path, source, exists):
    root = tmp_path / "raw"
    if exists:
        root.mkdir()
    said = villa("ingest", source, root, "--corpus", tmp_path / "corpus")
    assert said.code == 2
    assert str(root) in said.line
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["curate", "{}"],
        ["stats", "{}"],
        ["show", "{}"],
        ["corpus", "info", "{}"],
        ["corpus", "verify", "{}"],
        ["label", "{}", "--lam", "{}"],
        ["shard", "{}", "--out", "{}/out"],
        ["probe", "{}", "--lam", "{}"],
        ["train", "lam", "{}", "--out", "{}/out"],
        ["train", "act", "{}", "--out", "{}/out"],
        ["eval", "metaworld", "{}"],
    ],
    ids=" ".join,
)
def test_a_place_where_nothing_is_costs_one_line(villa, tmp_path, argv):
    said = villa(*(word.format(tmp_path / "nowhere") for word in argv))
    assert said.code == 2
    assert str(tmp_path / "nowhere") in said.line


def test_show_names_datasets_and_some_episodes(villa, corpus):
    report = villa("show", corpus, "--json").report
    assert {d["name"]: d["episodes"] for d in report["datasets"]} == {"drawers": 2, "kitchen": 1, "shelves": 3}
    assert {e["dataset"] for e in report["examples"]} == {"drawers", "kitchen", "shelves"}
    assert "shelves" in villa("show", corpus).out


def test_show_tells_one_episode_by_the_first_letters_of_its_id(villa, corpus):
    episode_id = next(
        e["episode_id"] for e in villa("show", corpus, "--json").report["examples"] if e["dataset"] == "drawers"
    )
    report = villa("show", corpus, episode_id[:10], "--json").report
    assert report["episode_id"] == episode_id
    assert report["embodiment"] == "hand"
    assert report["instruction"] == ["do b0"]
    assert report["dims"] == {"state": 7, "action": 7, "raw_state": 3, "raw_action": 2}
    gripper = next(r for r in report["ranges"] if r["vector"] == "state" and r["name"] == "gripper")
    assert (gripper["min"], gripper["mean"], gripper["max"]) == (0, 0.5, 1)


def test_show_draws_an_episode(villa, corpus, tmp_path):
    for example in villa("show", corpus, "--json").report["examples"]:
        said = villa("show", corpus, example["episode_id"], "--out", tmp_path / "strip.png", "--frames", 5)
        assert said.code == 0
        with Image.open(tmp_path / "strip.png") as picture:
            assert picture.width > 300


@pytest.mark.parametrize(
    ("dim", "joints", "grippers"),
    [
        (7, [f"joint {i}" for i in range(7)], []),
        (14, [f"{side} joint {i}" for side in ("left", "right") for i in range(6)], ["left gripper", "right gripper"]),
    ],
)
def test_show_and_the_page_of_curation_call_joints_joints(villa, tmp_path, dim, joints, grippers):
    numbers = np.linspace(0, 0.2, 30 * dim, dtype=np.float32).reshape(30, dim)
    same = dict.fromkeys(("state_encoding", "action_encoding"), "joint_position")
    dark = robot_episode("dark", pictures=np.zeros((30, 48, 48, 3), np.uint8))
    path = tmp_path / "corpus"
    make_corpus(path, {"a": [replace(dark, state=numbers, action=numbers, **same)]})
    report = villa("show", path, "", "--json").report
    assert {r["name"] for r in report["ranges"] if r["vector"] == "state"} == {*joints, *grippers}
    assert villa("curate", path, "--report", tmp_path / "page").code == 0
    html = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert "state: joints" in html
    assert "state: hand" not in html
    drawn = re.findall(r"measured [a-z ]*gripper", html)
    assert set(drawn) == {f"measured {name}" for name in grippers}
    assert ("gripper</" in html) == bool(grippers)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["zzz"], "no episode starts with 'zzz'"),
        (["--out", "strip.png"], "give an EPISODE"),
        ([""], "6 episodes start"),
    ],
)
def test_show_says_what_it_cannot_find(villa, corpus, argv, expected):
    said = villa("show", corpus, *argv)
    assert said.code == 2
    assert expected in said.line


def test_an_episode_is_meant_by_the_first_letters_of_its_id_and_several_are_named_in_one_line(villa, corpus, tmp_path):
    many = make_corpus(tmp_path / "many", {"a": [robot_episode(f"r{i}", num_steps=2) for i in range(40)]})
    assert villa("curate", many.uri).code == 0
    ids = sorted(many.episode_ids())
    letter = Counter(each[0] for each in ids).most_common(1)[0][0]
    shared = [each for each in ids if each.startswith(letter)]
    assert villa("show", many.uri, ids[0][:12], "--json").report["episode_id"] == ids[0]
    assert villa("curate", many.uri, "--explain", ids[0][:12], "--json").report["episode_id"] == ids[0]
    for said in (villa("show", many.uri, letter), villa("curate", many.uri, "--explain", letter)):
        assert said.code == 2
        assert f"{len(shared)} episodes start with '{letter}': {', '.join(shared[:5])}" in said.line
        assert said.line.endswith("give more letters of the id")
    assert f": {', '.join(ids[:5])} and 35 more; give" in villa("show", many.uri, "").line


def test_corpus_info_counts_datasets_and_bytes(villa, corpus):
    report = villa("corpus", "info", corpus, "--json").report
    assert report["episodes"] == 6
    assert sum(d["bytes"] for d in report["datasets"]) == report["bytes"] > 0
    assert next(d for d in report["datasets"] if d["name"] == "kitchen")["kind"] == "human"
    assert "shelves" in villa("corpus", "info", corpus).out


@pytest.mark.parametrize("deep", [[], ["--deep"]])
def test_corpus_verify_looks_at_one_frame_or_at_all(villa, corpus, deep):
    said = villa("corpus", "verify", corpus, *deep, "--json")
    assert said.code == 0
    assert said.report["ok"]
    assert said.report["frames_decoded"] == (said.report["steps"] if deep else 6)


def test_a_dry_run_of_shards_writes_nothing(villa, corpus, tmp_path):
    villa("stats", corpus)
    said = villa("shard", corpus, "--out", tmp_path / "shards", "--dry-run", "--json")
    assert said.code == 0
    assert said.report["written"] is False
    assert not (tmp_path / "shards").exists()


def test_explain_an_episode_that_does_not_exist(villa, corpus):
    assert villa("curate", corpus).code == 0
    said = villa("curate", corpus, "--explain", "zzz")
    assert said.code == 2
    assert "zzz" in said.line


def test_doctor_gives_the_command_that_mends_a_gap(villa, monkeypatch):
    def version(name):
        if name == "metaworld":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "RENDER", "raise SystemExit('no display')")
    said = villa("doctor", "--json")
    checks = {check["name"]: check for check in said.report["checks"]}
    assert said.code == 0
    assert not checks["metaworld"]["ok"]
    assert "pip install" in checks["metaworld"]["fix"]
    assert "no display" in checks["rendering"]["found"]
    assert "apt-get" in checks["rendering"]["fix"]
    assert checks["torch"]["fix"] == ""


def test_doctor_exits_1_without_what_the_main_path_needs(villa, monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "RENDER", "pass")
    said = villa("doctor")
    assert said.code == 1
    assert "make setup" in said.out


def test_the_reference_says_what_the_program_does(villa, request):
    said = villa("docs", "--check", "--out", request.config.rootpath / "docs" / "reference")
    assert said.code == 0, said.out


def test_a_page_that_drifted_is_named(villa, tmp_path):
    villa("docs", "--out", tmp_path)
    (tmp_path / "commands.md").write_text("old")
    said = villa("docs", "--check", "--out", tmp_path, "--json")
    assert said.code == 1
    assert said.report["changed"] == ["commands.md"]
    assert (tmp_path / "commands.md").read_text() == "old"


def test_a_dataset_of_rlds_that_no_source_reads_is_led_to_the_mapping(villa, tmp_path):
    said = villa("ingest", "openx/lab_pick", tmp_path, "--corpus", tmp_path / "corpus")
    assert said.code == 2
    assert "no source 'openx/lab_pick'" in said.line
    assert "openx/auto reads any other RLDS dataset by a mapping, which `villa sources --propose ROOT`" in said.line


def test_arguments_that_do_not_go_together_are_wrong_usage(villa, tmp_path):
    said = villa("label", "--video", tmp_path, "--engine", "ray", "--lam", tmp_path, "--out", "l.npz")
    assert (said.code, "--engine is for a corpus" in said.line) == (2, True)
