"""Our own source reads an export back to the same episodes."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from dataengine import catalog, texts
from dataengine.episode import Text
from dataengine.errors import DataEngineError
from dataengine.vector_layout import layout_of
from pipelines.export import ExportConfig, run
from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.lerobot_export import LENGTHS, entries_of, export, rows_of, stored, two_cameras


def test_our_own_source_reads_the_export_back_to_the_same_episodes(corpus, out):
    source = catalog.source("lerobot")(str(out / "arm_10hz"))
    outcomes = [episode for part in source.parts() for episode in source.read(part)]
    assert len(outcomes) == 3
    for episode, record in zip(outcomes, LENGTHS, strict=True):
        wanted = stored(corpus, record)
        for name in ("state", "action", "raw_state", "raw_action", "time_ns"):
            assert np.array_equal(getattr(episode, name), getattr(wanted, name)), name
        assert (episode.embodiment, episode.control_hz, episode.split) == ("arm", 10.0, wanted.split)
        assert (episode.state_encoding, episode.action_encoding) == ("eef_pose", "eef_delta")
        assert episode.texts == wanted.texts
        assert set(episode.cameras) == set(wanted.cameras)
        assert "doubt" not in episode.notes


def test_kind_licence_and_what_everybody_must_know_come_back_too(corpus, tmp_path):
    notes = {"doubt": "which hand?", "action_units_unknown": "nobody says", "segments": "[]", "clock": "nominal"}
    made = [
        replace(two_cameras("said", 9), notes=notes, licence="CC BY-NC-SA 4.0"),
        replace(two_cameras("plain", 9), licence="MIT"),
    ]
    corpus = make_corpus(tmp_path / "corpus", {"p": made, "h": [human_clip("clip")]})
    export(corpus, tmp_path / "out", codec="h264")
    episodes = {}
    for name in ("arm_10hz", "human_hand_10hz"):
        source = pickle.loads(pickle.dumps(catalog.source("lerobot")(str(tmp_path / "out" / name))))
        episodes |= {(name, e.source_record): e for part in source.parts() for e in source.read(part)}
    plain, said = episodes["arm_10hz", "0"], episodes["arm_10hz", "1"]
    assert (plain.licence, said.licence, plain.kind) == ("MIT", "CC BY-NC-SA 4.0", "robot")
    assert (said.notes["doubt"], said.notes["action_units_unknown"]) == ("which hand?", "nobody says")
    assert not {"segments", "clock"} & said.notes.keys()  # of the recording, and no matter of trust
    assert "doubt" not in plain.notes
    clip = episodes["human_hand_10hz", "0"]
    assert (clip.kind, clip.embodiment, clip.state) == ("human", "human_hand", None)
    assert not {"state_missing", "action_missing"} & clip.notes.keys()


def test_notes_of_an_export_that_were_damaged_cost_the_episode(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"p": [two_cameras("one", 6), two_cameras("two", 6)]})
    export(corpus, tmp_path / "out", codec="h264")
    (file,) = (tmp_path / "out/arm_10hz").glob("meta/episodes/*/*.parquet")
    table = pq.read_table(file)
    damaged = pa.array(["{", '{"doubt": 3}'])
    pq.write_table(table.set_column(table.column_names.index("source/notes"), "source/notes", damaged), file)
    source = catalog.source("lerobot")(str(tmp_path / "out/arm_10hz"))
    bad, good = (outcome for part in source.parts() for outcome in source.read(part))
    assert (bad.record, bad.reason.startswith("source/notes: not JSON")) == ("0", True)
    assert "doubt" not in good.notes


def test_every_frame_has_the_task_that_holds_there_and_texts_come_back_with_their_steps(tmp_path):
    texts_of = {
        "steps": texts.spans([f"do step {k}"] for k in range(12)),
        "parts": (Text(0, 12, ("tidy up", "clear it")), Text(2, 5, ("take the cup",)), Text(4, 9, ("put it down",))),
        "gap": (Text(3, 12, ("go",)),),
        "mute": (),
    }
    made = [replace(two_cameras(name, 12), texts=there) for name, there in texts_of.items()]
    corpus = make_corpus(tmp_path / "corpus", {"p": made})
    run(ExportConfig(corpus=corpus.uri, out=str(tmp_path / "out"), codec="h264"))
    root = tmp_path / "out/arm_10hz"
    tasks = dict(enumerate(pd.read_parquet(root / "meta/tasks.parquet").index))
    rows, entries = rows_of(root).to_pandas(), {line["source/source_record"]: line for line in entries_of(root)}
    frames = {
        name: [tasks[i] for i in rows[rows["episode_index"] == line["episode_index"]]["task_index"]]
        for name, line in entries.items()
    }
    assert frames == {
        "steps": [f"do step {k}" for k in range(12)],
        "parts": ["tidy up"] * 2 + ["take the cup"] * 3 + ["put it down"] * 4 + ["tidy up"] * 3,
        "gap": [""] * 3 + ["go"] * 9,
        "mute": [""] * 12,
    }
    assert entries["parts"]["tasks"] == ["tidy up", "clear it", "take the cup", "put it down"]
    source = catalog.source("lerobot")(str(root))
    back = {e.source_record: e for part in source.parts() for e in source.read(part)}
    assert {name: tuple(back[str(line["episode_index"])].texts) for name, line in entries.items()} == texts_of


def trim(corpus, **ends):
    """Say which steps of which record curation cut off, at the head and at the tail."""
    corpus.ensure_columns(pa.schema([("trim_start", pa.int32()), ("trim_end", pa.int32())]))
    for fragment in corpus.fragment_ids():
        table = corpus.fragment_table(fragment, ["source_record"])
        cut = [ends.get(record, (0, 0)) for record in table["source_record"].to_pylist()]
        columns = {name: pa.array([c[i] for c in cut], pa.int32()) for i, name in enumerate(("trim_start", "trim_end"))}
        corpus.update_fragment(fragment, pa.table({"_rowid": table["_rowid"], **columns}))


def test_idle_ends_that_curation_trimmed_are_left_out_of_rows_frames_texts_and_statistics(tmp_path):
    parts = (Text(0, 12, ("tidy up",)), Text(2, 5, ("take the cup",)), Text(9, 12, ("wait",)))
    clock = np.arange(12, dtype=np.int64) * 100_000_000 + np.arange(12) ** 2
    big = 2**60 + np.arange(12, dtype=np.int64)
    raw = {"raw_state": np.stack([big.astype(np.float64), np.arange(12.0)], axis=1), "raw_state_exact": {0: big}}
    cut_one = replace(two_cameras("one", 12), texts=parts, time_ns=clock, **raw)
    whole_one = replace(two_cameras("two", 7), raw_state=np.zeros((7, 2)))
    corpus = make_corpus(tmp_path / "corpus", {"p": [cut_one, whole_one]})
    trim(corpus, one=(3, 4))
    report = export(corpus, tmp_path / "out", codec="h264")
    assert (report.frames, report.steps_left_out) == (5 + 7, 7)
    assert "left out: 7 idle steps that curation trimmed; --all takes all" in report.summary()
    root = tmp_path / "out/arm_10hz"
    assert [(line["length"], line["source/first_step"]) for line in entries_of(root)] == [(5, 3), (7, 0)]
    source = catalog.source("lerobot")(str(root))
    back, _ = (episode for part in source.parts() for episode in source.read(part))
    for name in ("state", "action", "raw_state", "raw_action"):
        assert np.array_equal(getattr(back, name), getattr(cut_one, name)[3:8]), name
    assert np.array_equal(back.raw_state_exact[0], big[3:8])
    assert np.array_equal(back.time_ns, clock[3:8] - clock[3])
    assert list(back.texts) == [Text(0, 5, ("tidy up",)), Text(0, 2, ("take the cup",))]
    shown = [simplejpeg.decode_jpeg(data).mean() for data in back.cameras["primary"].jpegs]
    assert np.abs(shown - (40 + 9 * np.arange(3, 8))).max() < 3
    stats = json.loads((root / "meta/stats.json").read_text())["observation.state"]
    assert stats["count"] == [12]
    assert np.allclose(stats["max"], np.concatenate([cut_one.state[3:8], whole_one.state]).max(0))
    everything = export(corpus, tmp_path / "all", codec="h264", kept_only=False)
    assert (everything.frames, everything.steps_left_out) == (19, 0)
    assert "source/first_step" not in entries_of(tmp_path / "all/arm_10hz")[0]
    trim(corpus, one=(4, 3))
    with pytest.raises(DataEngineError, match="holds a dataset of other episodes or settings"):
        export(corpus, tmp_path / "out", codec="h264")


@pytest.mark.parametrize("rate_hz", [29.97, 30_000 / 1001, 23.976, 0.5, 0.3, 0.012, 997.3])
def test_odd_rates_come_back_with_every_frame_beside_its_row(tmp_path, rate_hz):
    corpus = make_corpus(tmp_path / "corpus", {"p": [two_cameras("odd", 20, control_hz=rate_hz)]})
    (dataset,) = export(corpus, tmp_path / "out", codec="h264").datasets
    assert dataset.fps == pytest.approx(rate_hz, rel=1e-6)
    source = catalog.source("lerobot")(dataset.root)
    (back,) = (episode for part in source.parts() for episode in source.read(part))
    assert back.control_hz == pytest.approx(rate_hz, rel=1e-6)
    assert np.array_equal(back.state, stored(corpus, "odd").state)
    shown = [simplejpeg.decode_jpeg(data).mean() for data in back.cameras["primary"].jpegs]
    assert np.abs(shown - (40 + 9 * np.arange(20))).max() < 3


def test_what_values_are_goes_out_and_comes_in_again(tmp_path):
    given = robot_episode("t", embodiment="told", num_steps=9)
    notes = {"state_units": "degrees", "state_grippers": "", "action_names": "a,b,c,d,e,f,jaw", "action_grippers": "6"}
    encodings = {"state_encoding": "joint_position", "action_encoding": "joint_position"}
    two = np.zeros((9, 14), np.float32)
    parts = {
        "told": [replace(given, notes=notes, **encodings)],
        "aloha": [replace(robot_episode("u", embodiment="aloha", num_steps=9), state=two, action=two, **encodings)],
    }
    corpus = make_corpus(tmp_path / "corpus", parts)
    export(corpus, tmp_path / "out")
    for record, name in (("t", "told_10hz"), ("u", "aloha_10hz")):
        features = json.loads((tmp_path / "out" / name / "meta/info.json").read_text())["features"]
        before, source = stored(corpus, record), catalog.source("lerobot")(str(tmp_path / "out" / name))
        (after,) = source.read(source.parts()[0])
        for column in ("state", "action"):
            here = before.layout(column)
            there = layout_of(
                column, getattr(after, f"{column}_encoding"), here.dim, after.notes, dataset=after.dataset
            )
            assert (there.units, there.grippers, there.arms) == (here.units, here.grippers, here.arms)
            assert len(set(features["observation.state" if column == "state" else column]["names"])) == here.dim
    assert features["action"]["names"][5:8] == ["left_joint_5", "left_gripper", "right_joint_0"]
