"""Hands follow pictures: by time, and through crops, bars and halves of stereo pairs. They come back from a corpus."""

from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from dataengine.errors import RecordError
from dataengine.formats.video import cut
from dataengine.framing import FITS, WHOLE, Fit, Framing
from dataengine.hands import Hand, Hands, Lens, Track
from dataengine.hands.geometry import project
from dataengine.schema import EPISODES, HANDS
from dataengine.store import Corpus, tables
from dataengine.store.commit import new_rows, staging
from dataengine.store.commit.checks import check_episode
from dataengine.store.upkeep.verify import verify
from pipelines.corpus import show
from tests.support import counted_video
from tests.support.corpora import add_parts, make_corpus, robot_episode
from tests.support.hands import frame_of, some_hands

DOT = np.array([0.30, 0.60])
"""Shares of the publisher's picture, in the part that all of the cases below keep."""


def dotted(number: int, height: int, width: int) -> np.ndarray:
    image = np.full((height, width, 3), 20, np.uint8)
    x, y = np.round(DOT * [width, height]).astype(int)
    image[y - 4 : y + 4, x - 4 : x + 4] = 235
    return image


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(240, 320), (320, 240), (256, 256)])
@pytest.mark.parametrize("region", [None, (0.0, 0.0, 0.5, 1.0), (0.125, 0.25, 0.75, 1.0)])
def test_a_point_lies_where_its_dot_is_found(
    tmp_path: Path, fit: Fit, size: tuple[int, int], region: tuple[float, float, float, float] | None
) -> None:
    path = counted_video.write(tmp_path / "v.mp4", 20, size=size, draw=dotted, options={"crf": "10"})
    ((_, clip),) = cut.cut(path, [(0.0, 0.5)], 96, 10.0, region=region, how=fit)
    assert isinstance(clip, cut.Clip), clip
    frames = clip.frames
    image = simplejpeg.decode_jpeg(frames.jpegs[0], "GRAY")[..., 0]
    y, x = np.argwhere(image > 120).mean(axis=0) + 0.5
    placing = Framing(96, fit).placing(frames.native_height, frames.native_width, region or WHOLE)
    np.testing.assert_allclose(placing.apply(DOT), [x / frames.width, y / frames.height], atol=0.015)
    lens = Lens(0.8, 0.9, 0.5, 0.45)
    point = np.array([(DOT[0] - 0.5) / 0.8, (DOT[1] - 0.45) / 0.9, 1.0])
    np.testing.assert_allclose(project(point, lens.placed(placing)), placing.apply(DOT))


def test_boxes_and_points_move_with_their_picture() -> None:
    points = np.tile(DOT, (2, 21, 1)).astype(np.float32)
    box = np.array([[0.2, 0.2, 0.6, 0.8]] * 2, np.float32)
    hand = Hand(present=np.ones(2, bool), confidence=np.ones(2, np.float32), keypoints_2d=points, box=box)
    placed = hand.placed(Framing(100, "pad").placing(100, 200))
    np.testing.assert_allclose(placed.keypoints_2d[0, 0], [0.30, 0.25 + 0.30])  # type: ignore[index]
    np.testing.assert_allclose(placed.box[0], [0.2, 0.35, 0.6, 0.65], rtol=1e-6)  # type: ignore[index]
    assert placed.box.dtype == np.float32  # type: ignore[union-attr]


def test_a_picture_gets_the_row_nearest_in_time_or_none() -> None:
    track = Track(hands=some_hands(10), time_s=np.arange(10) / 30, slack_s=0.02)
    taken = track.at(np.array([0.0, 0.049, 0.051, 9 / 30 + 0.01, 1.0, -0.5]))
    right = taken.right
    assert right is not None
    assert right.present.tolist() == [True] * 4 + [False] * 2
    assert [frame_of(z) for z in right.keypoints[:4, 0, 2]] == [0, 1, 2, 9]  # type: ignore[index]
    assert np.isnan(right.keypoints[4:]).all()  # type: ignore[index]
    assert np.isnan(right.confidence[4:]).all()
    one = Track(hands=some_hands(1), time_s=np.zeros(1), slack_s=0.02)
    assert one.at(np.array([0.0, 1.0])).presence() == {"left": 0.5, "right": 0.5}


def boxed(num_steps: int) -> Hands:
    box = np.tile(np.array([0.1, 0.2, 0.3, 0.4], np.float32), (num_steps, 1))
    hand = Hand(present=np.ones(num_steps, bool), confidence=np.full(num_steps, 0.9, np.float32), box=box)
    camera = np.tile(np.array([1, 2, 3, 0, 0, 0, 1], np.float32), (num_steps, 1))
    lens = Lens(0.4, 0.5, 0.5, 0.5, "fisheye", (0.1, 0.2, 0.3, 0.4))
    return Hands(sides={"right": hand}, source="detector", estimated=True, lens=lens, camera=camera)


def assert_equal(actual: Hands | None, expected: Hands) -> None:
    assert actual is not None
    plain = ("source", "estimated", "frame")
    assert [getattr(actual, name) for name in plain] == [getattr(expected, name) for name in plain]
    assert list(actual.sides) == list(expected.sides)
    for side, hand in expected.sides.items():
        np.testing.assert_array_equal(actual.sides[side].present, hand.present)
        assert actual.sides[side].numbers().keys() == hand.numbers().keys()
        for name, values in hand.numbers().items():
            np.testing.assert_array_equal(actual.sides[side].numbers()[name], values)
    if expected.lens is not None:
        assert actual.lens is not None
        assert (actual.lens.model, len(actual.lens.distortion)) == (expected.lens.model, len(expected.lens.distortion))
        assert actual.lens.fx == pytest.approx(expected.lens.fx)
    assert (actual.camera is None) == (expected.camera is None)
    if expected.camera is not None:
        np.testing.assert_array_equal(actual.camera, expected.camera)  # type: ignore[arg-type]


def test_hands_come_back_from_a_corpus(tmp_path: Path) -> None:
    both, one = some_hands(6, absent=2), boxed(6)
    episodes = [
        replace(robot_episode(name, num_steps=6), hands=hands)
        for name, hands in (("both", both), ("one", one), ("none", None))
    ]
    corpus = make_corpus(tmp_path / "corpus", {"a": episodes})
    assert_equal(corpus.episode(episodes[0].episode_id).hands, both)
    assert_equal(corpus.episode(episodes[1].episode_id).hands, one)
    assert corpus.episode(episodes[2].episode_id).hands is None
    shown = show.run(show.ShowConfig(corpus=corpus.uri, episode=episodes[0].episode_id)).summary()
    hands = "left at 67% of steps, right at 100% of steps; 21 points and the wrist in metres in the frame of the camera"
    assert f"{hands}, by a tracker" in " ".join(shown.split())
    shown = show.run(show.ShowConfig(corpus=corpus.uri, episode=episodes[1].episode_id)).summary()
    assert "right at 100% of steps; boxes in the picture, estimated by a detector" in " ".join(shown.split())
    shown = show.run(show.ShowConfig(corpus=corpus.uri, episode=episodes[2].episode_id)).summary()
    assert "hands" not in shown
    assert corpus.count("hands_source = 'tracker' AND array_has(hands_sides, 'left')") == 1
    assert verify(corpus).ok


def test_a_corpus_from_before_there_were_hands_is_read_and_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {field.name for field in HANDS}
    old, new = robot_episode("old", num_steps=6), replace(robot_episode("new", num_steps=6), hands=some_hands(6))
    with monkeypatch.context() as patch:
        columns = pa.schema([f for f in tables.EPISODES if f.name not in names], metadata=EPISODES.metadata)
        for module in (new_rows, tables):
            patch.setattr(module, "EPISODES", columns)
        corpus = make_corpus(tmp_path / "corpus", {"a": [old]})
    assert not names & set(corpus.schema.names)
    assert corpus.episode(old.episode_id).hands is None
    staging._table.cache_clear()  # another run, in another process
    add_parts(Corpus.open_or_create(corpus.uri), {"b": [new]})
    corpus = Corpus.open(corpus.uri)
    assert corpus.episode(old.episode_id).hands is None
    assert_equal(corpus.episode(new.episode_id).hands, some_hands(6))
    assert verify(corpus).ok


def test_what_is_wrong_with_hands_is_told_before_they_are_written() -> None:
    bad = replace(robot_episode("bad", num_steps=6), hands=some_hands(5))
    with pytest.raises(RecordError, match=r"left hand: present is \(5,\), expected \(6,\) of bool"):
        check_episode(bad, bad.dataset, {bad.embodiment})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("hands_sides", "make_array('left')", "hands_present has 12 values for 1 sides of 6 steps"),
        ("hands_wrist", "make_array(CAST(1 AS FLOAT))", "hands_wrist has 1 values, expected 84"),
        ("hands_camera", "make_array(CAST(1 AS FLOAT))", "hands_camera has 1 values, expected 42"),
        ("hands_confidence", "array_repeat(CAST(1 AS FLOAT), 12)", "hands_confidence has numbers where a hand is"),
    ],
)
def test_columns_of_hands_that_contradict_themselves_are_named(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    episodes = [
        replace(robot_episode(name, num_steps=6), hands=some_hands(6, absent=2) if name != "b" else None)
        for name in "abc"
    ]
    corpus = make_corpus(tmp_path / "corpus", {"a": episodes})
    lance.dataset(f"{corpus.uri}/episodes.lance").update({column: value}, where="source_record = 'c'")
    corpus.refresh()
    assert any(said in problem and episodes[2].episode_id in problem for problem in verify(corpus).problems)
    assert not any(episodes[0].episode_id in problem for problem in verify(corpus).problems)
