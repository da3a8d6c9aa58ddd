"""EgoPAT3D's landmarks: text by frame, mirrored, of an unknown side."""

from pathlib import Path

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from tests.support import counted_video
from tests.support.hands import hand_points

FRAMES = 90


def landmarks(frame: int, count: int = 21) -> str:
    points = hand_points("right")[:count, 1::-1] * [-1, -1] + [0.6, 0.7 + frame / 1000]
    blocks = (f"landmark {{\n  x: {1 - x}\n  y: {y}\n  z: -1.5e-05\n}}\n" for x, y in points)
    return f"{frame}:\n{''.join(blocks)}"


def add(root: Path, text: str | None) -> None:
    folder = root / "Dataset" / "5" / "kitchenCounter_2"
    (folder / "hand_frames").mkdir(parents=True)
    (folder / "hand_frames" / "clip_ranges.txt").write_text("1. 30, 89\n")
    if text is not None:
        (folder / "hand_frames" / "hand_landmarks.txt").write_text(text)
    counted_video.write(folder / "rgb_video.mp4", FRAMES, 30.0)


def read(root: Path) -> Episode:
    source = catalog.source("egopat3d")(str(root), context_s=0.0)  # type: ignore[call-arg]
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


def test_each_picture_has_the_landmarks_of_its_frame(tmp_path: Path) -> None:
    listed = [frame for frame in range(FRAMES) if frame not in (30, 36)]
    add(tmp_path, "".join(landmarks(frame, 20 if frame == 39 else 21) for frame in listed))
    episode = read(tmp_path)
    hands = episode.hands
    assert hands is not None, episode.notes
    frames = np.array(counted_video.numbers(list(episode.cameras["primary"].jpegs)))
    hand = hands.sides["unknown"]
    assert hand.keypoints_2d is not None
    assert hand.present.tolist() == (~np.isin(frames, (30, 36, 39))).tolist()
    there = hand.keypoints_2d[hand.present]
    np.testing.assert_allclose((there[:, 0, 1] - 0.7) * 1000, frames[hand.present], atol=1e-3)
    np.testing.assert_allclose(there[:, 0, 0], 0.6, rtol=1e-6)
    assert (there[:, 4, 0] < 0.6).all()  # the thumb of a right hand seen from behind is on its left
    assert (hands.source, hands.estimated, hands.frame) == ("detector", True, None)
    assert episode.notes["hands_bad"] == "1 of 88 frames of the recording have no 21 landmarks"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing\n", "hand_landmarks.txt has no frame of 21 landmarks"),
        (landmarks(3, 20), "hand_landmarks.txt has no frame of 21 landmarks"),
        ("0:\n" + "landmark { x: 0.5 y: cat z: 0 }\n" * 21, "never with all of its joints"),
    ],
)
def test_damaged_landmarks_cost_the_hands_alone(tmp_path: Path, text: str, said: str) -> None:
    add(tmp_path, text)
    episode = read(tmp_path)
    assert episode.hands is None
    assert said in episode.notes["hands_lost"]


def test_a_recording_without_landmarks_has_no_hands_and_no_note(tmp_path: Path) -> None:
    add(tmp_path, None)
    episode = read(tmp_path)
    assert episode.hands is None
    assert not [key for key in episode.notes if key.startswith("hands")]
