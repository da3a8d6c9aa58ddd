"""`villa export lerobot`: what comes out is LeRobot v3.0 to the letter."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.support.corpora import make_corpus, robot_episode
from tests.support.lerobot_export import LENGTHS, entries_of, export, frames_in, rows_of, stored


def test_numbers_are_equal_to_the_last_bit_and_counters_are_as_lerobot_counts(corpus, out):
    table = rows_of(out / "arm_10hz").to_pydict()
    order = [stored(corpus, record) for record in ("a2", "a10", "b1")]
    for column, vector in (
        ("observation.state", "state"),
        ("action", "action"),
        ("source.state", "raw_state"),
        ("source.action", "raw_action"),
        ("source.time_ns", "time_ns"),
    ):
        wanted = np.concatenate([getattr(episode, vector) for episode in order])
        assert np.array_equal(np.array(table[column], wanted.dtype), wanted)
    assert table["index"] == list(range(40))
    assert table["frame_index"] == [k for n in LENGTHS.values() for k in range(n)]
    assert table["episode_index"] == [i for i, n in enumerate(LENGTHS.values()) for _ in range(n)]
    assert np.array_equal(np.float32(table["timestamp"]), (np.array(table["frame_index"]) / 10).astype(np.float32))
    assert np.diff(stored(corpus, "b1").time_ns).std() > 0


def test_frames_lie_at_exactly_k_over_the_rate_and_show_what_the_corpus_holds(corpus, out):
    root = out / "arm_10hz"
    for key in ("primary", "wrist"):
        played = frames_in(root / f"videos/observation.images.{key}/chunk-000/file-000.mp4")
        assert [shown_s for shown_s, _ in played] == [k / 10 for k in range(40)]
        for line, record in zip(entries_of(root), LENGTHS, strict=True):
            start_s = line[f"videos/observation.images.{key}/from_timestamp"]
            first = round(start_s * 10)
            assert (first, start_s) == (line["dataset_from_index"], line["dataset_from_index"] / 10)
            assert line[f"videos/observation.images.{key}/to_timestamp"] == line["dataset_to_index"] / 10
            for frame, picture in zip(played[first:], stored(corpus, record).frames(key), strict=False):
                assert abs(frame[1].astype(float) - picture).mean() < 3


def test_rates_that_are_no_whole_number_keep_their_frames_in_place(out):
    root = out / "arm_4.98hz"
    fps = json.loads((root / "meta/info.json").read_text())["fps"]
    played = frames_in(root / "videos/observation.images.primary/chunk-000/file-000.mp4")
    assert fps == pytest.approx(4.98, abs=1e-6)
    assert np.allclose([shown_s for shown_s, _ in played], np.arange(9) / fps, atol=1e-9)


def test_tasks_are_found_by_pandas_under_their_texts(out):
    tasks = pd.read_parquet(out / "arm_10hz/meta/tasks.parquet")
    assert tasks.index.tolist() == ["do a2", "do a10", "lift", "raise it"]
    assert tasks["task_index"].tolist() == [0, 1, 2, 3]
    assert set(rows_of(out / "arm_10hz").to_pydict()["task_index"]) == {0, 1, 2}
    assert entries_of(out / "arm_10hz")[2]["tasks"] == ["lift", "raise it"]


def test_every_episode_tells_where_it_comes_from(corpus, out):
    line = entries_of(out / "arm_10hz")[2]
    episode = stored(corpus, "b1")
    assert line["source/episode_id"] == episode.episode_id
    assert (line["source/dataset"], line["source/source_record"], line["source/split"]) == ("made", "b1", "val")
    assert (line["source/source_uri"], json.loads(line["source/notes"])) == ("memory/b1", {"gripper": "odd"})
    info = json.loads((out / "arm_10hz/meta/info.json").read_text())
    assert (info["robot_type"], info["splits"]) == ("arm", {"train": "0:2", "val": "2:3"})


def test_statistics_of_episodes_are_exact_and_those_of_the_dataset_are_put_together(corpus, out):
    root = out / "arm_10hz"
    stats, lines = json.loads((root / "meta/stats.json").read_text()), entries_of(root)
    states = [stored(corpus, record).state.astype(np.float64) for record in LENGTHS]
    everything = np.concatenate(states)
    for i, state in enumerate(states):
        for name, q in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
            assert np.allclose(lines[i][f"stats/observation.state/{name}"], np.quantile(state, q, axis=0))
    whole = stats["observation.state"]
    for name, value in (
        ("min", everything.min(0)),
        ("max", everything.max(0)),
        ("mean", everything.mean(0)),
        ("std", everything.std(0)),
    ):
        assert np.allclose(whole[name], value, atol=1e-9)
    weighted = sum(np.quantile(state, 0.9, axis=0) * len(state) for state in states) / len(everything)
    assert np.allclose(whole["q90"], weighted)
    assert whole["count"] == [40]
    assert stats["frame_index"]["max"] == [20]
    pictures = np.concatenate([stored(corpus, record).frames("wrist") for record in LENGTHS]) / 255
    assert np.allclose(np.ravel(stats["observation.images.wrist"]["mean"]), pictures.mean((0, 1, 2)), atol=1e-9)
    assert np.allclose(np.ravel(stats["observation.images.wrist"]["std"]), pictures.std((0, 1, 2)), atol=1e-9)
    assert np.shape(stats["observation.images.wrist"]["q10"]) == (3, 1, 1)


def test_files_stay_below_their_limit_and_hold_whole_episodes(corpus, tmp_path):
    report = export(corpus, tmp_path, video_mb=0.012, datasets=["made"], where="embodiment = 'arm'", fps=10)
    (dataset,) = report.datasets
    root = tmp_path / "arm_10hz"
    assert (dataset.files, report.left_out) == (2, 1)
    lines = entries_of(root)
    assert [line["data/file_index"] for line in lines] == [0, 0, 1]
    assert lines[2]["videos/observation.images.wrist/from_timestamp"] == 0
    assert lines[2]["dataset_from_index"] == 19
    assert rows_of(root).to_pydict()["index"] == list(range(40))
    assert len(frames_in(root / "videos/observation.images.wrist/chunk-000/file-001.mp4")) == 21
    assert all(path.stat().st_size < 12_000 for path in root.rglob("*.mp4"))


def test_clips_without_a_robot_are_exported_with_pictures_alone(out):
    features = json.loads((out / "human_hand_10hz/meta/info.json").read_text())["features"]
    assert {"observation.images.primary", "timestamp"} <= set(features)
    assert not {"observation.state", "action", "source.state"} & set(features)


def test_pictures_of_odd_sides_get_even_ones(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (6, 33, 47, 3)).astype(np.uint8)
    corpus = make_corpus(tmp_path / "corpus", {"p": [robot_episode("o", num_steps=6, pictures=pictures)]})
    export(corpus, tmp_path / "out")
    info = json.loads((tmp_path / "out/arm_10hz/meta/info.json").read_text())
    assert info["features"]["observation.images.primary"]["shape"] == [34, 48, 3]
    (path,) = (tmp_path / "out").rglob("*.mp4")
    assert frames_in(path)[0][1].shape == (34, 48, 3)
