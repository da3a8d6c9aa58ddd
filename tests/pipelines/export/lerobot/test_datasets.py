"""Which episodes `villa export lerobot` puts into which dataset, and what it calls it."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import DataEngineError
from pipelines.export import ExportConfig, run
from tests.support.corpora import add_parts, make_corpus, robot_episode
from tests.support.lerobot_export import arm_episodes, export, frames_in, rows_of, stored, two_cameras


def test_each_body_and_rate_becomes_a_dataset_of_its_own(corpus, tmp_path):
    report = export(corpus, tmp_path / "none", dry_run=True)
    assert {d.name: (d.episodes, d.frames, d.fps, d.cameras) for d in report.datasets} == {
        "arm_10hz": (3, 40, 10.0, ["primary", "wrist"]),
        "arm_4.98hz": (1, 9, 4.98, ["primary", "wrist"]),
        "human_hand_10hz": (2, 40, 10.0, ["primary"]),
    }
    assert not (tmp_path / "none").exists()


def test_a_rate_takes_episodes_near_it_and_is_what_they_get(corpus, tmp_path):
    (dataset,) = export(corpus, tmp_path, fps=5, codec="h264").datasets
    root = tmp_path / dataset.name
    assert (dataset.name, dataset.fps) == ("arm_5hz", 5.0)
    played = frames_in(root / "videos/observation.images.primary/chunk-000/file-000.mp4")
    assert [shown_s for shown_s, _ in played] == [k / 5 for k in range(9)]
    assert rows_of(root).to_pydict()["source.time_ns"] == stored(corpus, "s1").time_ns.tolist()


def test_what_ingest_made_of_frames_that_were_not_square_is_told_with_them(tmp_path):
    wide = robot_episode("w", dataset="wide", num_steps=5)
    cropped = replace(wide, dataset="cropped", notes={"frames_fit": "crop"})
    cameras = {"primary": replace(wide.cameras["primary"], native_height=60, native_width=80)}
    parts = {"a": [replace(wide, cameras=cameras)], "b": [replace(cropped, cameras=cameras)], "c": [robot_episode("s")]}
    report = export(make_corpus(tmp_path / "corpus", parts), tmp_path / "out")
    reshaped = {
        "cropped": "frames 60x80 are cropped to 48x48 (25% of the width cut off)",
        "wide": "frames 60x80 are squashed to 48x48 (25% of the width lost)",
    }
    assert report.reshaped == reshaped
    assert f"wide: {reshaped['wide']} at ingest" in report.summary()
    about = json.loads((tmp_path / "out/arm_10hz/meta/villa.json").read_text())
    assert about["frames"] == reshaped


def test_one_body_with_other_cameras_or_widths_gets_a_name_that_says_so(tmp_path):
    narrow = robot_episode("n", num_steps=5)
    parts = {
        "p": [narrow, two_cameras("w", 5), replace(robot_episode("m", num_steps=5), raw_state=narrow.state)],
        "q": [robot_episode("l", num_steps=5, pictures=np.zeros((5, 32, 32, 3), np.uint8))],
    }
    corpus = make_corpus(tmp_path / "corpus", parts)
    names = [d.name for d in run(ExportConfig(corpus=corpus.uri, dry_run=True)).datasets]
    assert names == [
        "arm_10hz_primary_32x32",
        "arm_10hz_primary_48x48_state7_action7_raw_state3_raw_action2",
        "arm_10hz_primary_48x48_state7_action7_raw_state7_raw_action2",
        "arm_10hz_primary_wrist",
    ]


def declared(root):
    info = json.loads((root / "meta/info.json").read_text())
    cameras = {key for key, about in info["features"].items() if about["dtype"] == "video"}
    names = {key: info["features"][key]["names"] for key in ("observation.state", "action")}
    return {"robot_type": info["robot_type"], "fps": info["fps"], "cameras": cameras, "names": names}


def test_episodes_that_call_a_camera_or_the_robot_otherwise_get_the_names_of_slot_and_body(tmp_path):
    notes = [{"camera_primary": "cam 1 (front)", "camera_wrist": "observation/hand", "robot_type": "Bot 1"}] * 2
    notes += [{**notes[0], "camera_primary": "cam 2 (front)"}]
    for count, cameras in ((2, {"cam_1_front", "hand"}), (3, {"primary", "hand"})):
        made = [replace(two_cameras(f"e{i}", 5), notes=notes[i]) for i in range(count)]
        corpus = make_corpus(tmp_path / f"corpus{count}", {"p": made})
        export(corpus, tmp_path / f"out{count}")
        features = declared(tmp_path / f"out{count}/arm_10hz")
        assert features["cameras"] == {f"observation.images.{name}" for name in cameras}
        assert features["robot_type"] == "Bot 1"
    clash = [{"camera_primary": "wrist"}, {"camera_primary": "wrist", "camera_wrist": "hand"}]
    made = [replace(two_cameras(f"e{i}", 5), notes=each) for i, each in enumerate(clash)]
    export(make_corpus(tmp_path / "clash", {"p": made}), tmp_path / "slots")
    features = declared(tmp_path / "slots/arm_10hz")
    assert features["cameras"] == {"observation.images.primary", "observation.images.wrist"}
    assert features["robot_type"] == "arm"


def test_what_curation_dropped_is_left_out_unless_asked_for(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"p": arm_episodes()})
    corpus.ensure_columns(pa.schema([("keep", pa.bool_())]))
    (fragment,) = corpus.fragment_ids()
    table = corpus.fragment_table(fragment, ["source_record"])
    keep = pa.array([record != "a10" for record in table["source_record"].to_pylist()])
    corpus.update_fragment(fragment, pa.table({"_rowid": table["_rowid"], "keep": keep}))
    add_parts(corpus, {"new": [two_cameras("c", 5)]})
    config = {"corpus": corpus.uri, "dry_run": True}
    assert run(ExportConfig(**config)).episodes == 3
    assert run(ExportConfig(**config, kept_only=False)).episodes == 4
    assert run(ExportConfig(**config, kept_only=False, where="num_steps > 10")).episodes == 2


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"datasets": ["mode"]}, "no dataset 'mode'; did you mean 'made'"),
        ({"where": "foo > 3"}, "--where foo > 3: "),
        ({"where": "num_steps > 300"}, "found no such episodes; nothing to export"),
        ({"fps": 300}, "found 6 episodes of other rates; nothing to export"),
        ({"out": "s3://bucket/x"}, "datasets are written to a local folder"),
        ({"out": None}, "no place for the datasets; give OUT"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(corpus, tmp_path, kwargs, expected):
    with pytest.raises(DataEngineError) as error:
        run(ExportConfig(**{"corpus": corpus.uri, "out": str(tmp_path), **kwargs}))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
