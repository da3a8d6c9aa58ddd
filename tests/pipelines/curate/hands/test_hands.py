"""Hands are estimated where no publisher tells of them, and written as the published ones are.

MediaPipe is played by a package made in sight, which sees a hand where a picture is bright, at a place that tells the
picture; what the real one said of three pictures lies beside this file.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dataengine.hands import Hands
from dataengine.hands.detected import Detection, from_detections
from dataengine.store import Corpus
from pipelines.curate import CurateConfig
from pipelines.curate import hands as pipeline
from pipelines.curate import run as curate
from pipelines.curate.hands.detector import detections
from tests.support.corpora import frames_of, human_clip, make_corpus, robot_episode
from tests.support.hands import some_hands
from tests.support.mediapipe_played import bundle, install

STEPS = 12
RECORDED = json.loads((Path(__file__).parent / "mediapipe_1.2.3.json").read_text())


def clip(name: str, levels: list[int], hands: Hands | None = None) -> Any:
    pictures = np.repeat(np.array(levels, np.uint8), 48 * 48 * 3).reshape(-1, 48, 48, 3)
    return replace(human_clip(name, num_steps=len(levels)), cameras={"primary": frames_of(pictures)}, hands=hands)


LEVELS = [0, 0, 40, 60, 80, 100, 120, 140, 160, 180, 200, 0]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    published = clip("told", LEVELS, some_hands(STEPS))
    return make_corpus(
        tmp_path / "corpus",
        {"a": [clip("unexplained", LEVELS), published], "b": [clip("dark", [0] * 5), robot_episode("r")]},
    )


def hands_of(corpus: Corpus) -> dict[str, Hands | None]:
    corpus.refresh()
    table = corpus.table(["episode_id", "source_record"])
    names = zip(table["episode_id"].to_pylist(), table["source_record"].to_pylist(), strict=True)
    return {name: corpus.episode(episode_id).hands for episode_id, name in names}


@pytest.mark.slow
def test_clips_without_hands_get_them_and_published_ones_stay(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path / "packages", monkeypatch)
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("drop_no_hands: {}\n")
    assert curate(CurateConfig(corpus=corpus.uri, recipe=str(recipe), page=False)).dropped == 0  # type: ignore[union-attr]
    before = hands_of(corpus)
    config = pipeline.HandsConfig(corpus=corpus.uri, model=bundle(tmp_path), workers=1)
    report = pipeline.run(config)
    after = hands_of(corpus)
    assert (report.clips, report.with_hands, report.steps, report.steps_with_hands, report.known) == (2, 1, 17, 9, 1)
    unexplained, dark, published = after["unexplained"], after["dark"], after["told"]
    assert unexplained is not None
    assert dark is not None
    assert published is not None
    assert (unexplained.source, unexplained.estimated, unexplained.frame) == ("detector", True, None)
    right = unexplained.sides["right"]
    assert right.present.tolist() == [level > 0 for level in LEVELS]
    np.testing.assert_allclose(right.keypoints_2d[2:-1, 0, 0], np.array(LEVELS[2:-1]) / 255, atol=0.01)  # type: ignore[index]
    np.testing.assert_allclose(right.confidence[2:-1], 0.75)
    assert not unexplained.sides["left"].present.any()
    assert not any(hand.present.any() for hand in dark.sides.values())
    assert (published.source, published.estimated) == ("tracker", False)
    np.testing.assert_array_equal(published.sides["right"].wrist, before["told"].sides["right"].wrist)  # type: ignore[union-attr, arg-type]
    assert after["r"] is None
    assert "chatter" not in "".join(capfd.readouterr())

    again = pipeline.run(config)
    assert (again.clips, again.known) == (0, 3)
    done = curate(CurateConfig(corpus=corpus.uri, recipe=str(recipe), page=False))
    assert done.dropped == 1, "the dark clip: curation looks again at hands that are new"  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_clip_that_cannot_be_read_is_told_and_the_rest_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "packages", monkeypatch)
    broken = human_clip("broken")
    jpegs = list(broken.cameras["primary"].jpegs)
    jpegs[3] = jpegs[3][: jpegs[3].index(b"\xff\xda") + 20] + b"\xff\xd9"
    broken = replace(broken, cameras={"primary": replace(broken.cameras["primary"], jpegs=jpegs)})
    corpus = make_corpus(tmp_path / "corpus", {"a": [broken, clip("whole", LEVELS)]})
    report = pipeline.run(pipeline.HandsConfig(corpus=corpus.uri, model=bundle(tmp_path), workers=1))
    assert (report.clips, report.unreadable) == (1, 1)
    assert "1 clips cannot be read, such as " in report.summary()
    hands = hands_of(corpus)
    assert hands["broken"] is None
    assert hands["whole"] is not None


def test_what_mediapipe_said_becomes_hands() -> None:
    def named(value: Any) -> Any:
        return json.loads(json.dumps(value), object_hook=lambda fields: SimpleNamespace(**fields))

    hands = from_detections([detections(named(result)) for result in RECORDED])
    left = hands.sides["left"]
    assert left.present.tolist() == [True, True, False]
    assert left.keypoints_2d is not None
    for step in (0, 1):
        said = RECORDED[step]["hand_landmarks"][0]
        np.testing.assert_allclose(left.keypoints_2d[step], [[p["x"], p["y"]] for p in said], rtol=1e-6)
        assert left.confidence[step] == pytest.approx(RECORDED[step]["handedness"][0][0]["score"])
    assert np.isnan(left.keypoints_2d[2]).all()
    assert not hands.sides["right"].present.any()


def test_the_surest_hand_of_a_side_counts() -> None:
    points = np.zeros((21, 2), np.float32)
    seen = [Detection("left", 0.6, points), Detection("left", 0.9, points + 1), Detection("right", 0.5, points + 2)]
    hands = from_detections([seen, []])
    assert hands.sides["left"].keypoints_2d[0, 0].tolist() == [1, 1]  # type: ignore[index]
    assert hands.sides["right"].keypoints_2d[0, 0].tolist() == [2, 2]  # type: ignore[index]
    assert hands.num_steps == 2


@pytest.mark.slow
def test_the_real_detector_runs_beside_our_packages(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    if not (model := os.environ.get("HAND_LANDMARKER_TASK")):
        pytest.skip("HAND_LANDMARKER_TASK names no hand_landmarker.task")
    corpus = make_corpus(tmp_path / "corpus", {"a": [clip("dark", [0] * 5)]})
    report = pipeline.run(pipeline.HandsConfig(corpus=corpus.uri, model=Path(model), workers=1))
    assert (report.clips, report.with_hands) == (1, 0)
    assert hands_of(corpus)["dark"].source == "detector"  # type: ignore[union-attr]
