"""Ego4D's annotated hands: a few frames of each action, points in pixels of the full picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from dataengine.errors import SourceError
from tests.support import counted_video

UID = "aaaa-1"


def moment(frame: int, *boxes: dict[str, Any]) -> dict[str, Any]:
    return {"frame": frame, "clip_frame": frame - 7, "boxes": list(boxes)}


ACTION = {
    "action_start_sec": 1.0,
    "pre_45": moment(30, {"left_hand": [480, 540]}, {"right_hand": [1440.0, 270.0]}),
    "pre_30": moment(46, {"right_hand": [960, 540]}),
    "contact_frame": moment(75, {"left_hand": [1, 2, 3, 4]}, {"object": [5, 5]}),
    "pnr_frame": {"frame": 80},
}


def add(root: Path, action: Any, *, media: str = "video_540ss", stated: bool = True, **video: Any) -> None:
    size = {"display_resolution_width": 1920, "display_resolution_height": 1080} if stated else None
    about = {"video_uid": UID, "video_metadata": size, **video}
    (root / "ego4d.json").write_text(json.dumps({"videos": [about], "concurrent_video_sets": []}))
    folder = root / "v2" / "annotations"
    folder.mkdir(parents=True)
    narrations = {"narrations": [{"timestamp_sec": 2.0, "narration_text": "#C C opens the door"}]}
    (folder / "narration.json").write_text(json.dumps({UID: {"narration_pass_1": narrations}}))
    (folder / "fho_hands_train.json").write_text(
        json.dumps({"clips": [{"clip_uid": "c", "video_uid": UID, "frames": [action]}]})
    )
    counted_video.write(root / "v2" / media / f"{UID}.mp4", 120, 30.0, size=(108, 192))


def read(root: Path) -> Episode:
    source = catalog.source("ego4d")(str(root), context_s=2.0)  # type: ignore[call-arg]
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


def test_annotated_frames_have_the_places_of_their_hands(tmp_path: Path) -> None:
    add(tmp_path, ACTION)
    episode = read(tmp_path)
    hands = episode.hands
    assert hands is not None, episode.notes
    frames = counted_video.numbers(list(episode.cameras["primary"].jpegs))
    assert frames == list(range(30, 90, 3))
    left, right = hands.sides["left"], hands.sides["right"]
    assert [f for f, there in zip(frames, left.present, strict=True) if there] == [30]
    assert [f for f, there in zip(frames, right.present, strict=True) if there] == [30, 45]
    np.testing.assert_allclose(left.box[0], [0.25, 0.5, 0.25, 0.5])  # type: ignore[index]
    np.testing.assert_allclose(right.box[[0, 5]], [[0.75, 0.25, 0.75, 0.25], [0.5] * 4])  # type: ignore[index]
    assert (hands.source, hands.estimated, hands.frame) == ("annotators", False, None)
    assert {"hands_sparse", "hands_doubt"} <= episode.notes.keys()


def test_the_left_half_of_a_stereo_pair_has_its_own_shares(tmp_path: Path) -> None:
    add(tmp_path, ACTION, is_stereo=True)
    hands = read(tmp_path).hands
    assert hands is not None
    np.testing.assert_allclose(hands.sides["left"].box[0], [0.5, 0.5, 0.5, 0.5])  # type: ignore[index]


def test_a_size_that_nobody_states_is_looked_up_in_the_full_video_alone(tmp_path: Path) -> None:
    small = {"pre_45": moment(30, {"left_hand": [48, 54]})}
    (tmp_path / "full").mkdir()
    add(tmp_path / "full", small, media="full_scale", stated=False)
    hands = read(tmp_path / "full").hands
    assert hands is not None
    np.testing.assert_allclose(hands.sides["left"].box[0], [0.25, 0.5, 0.25, 0.5])  # type: ignore[index]
    (tmp_path / "small").mkdir()
    add(tmp_path / "small", small, stated=False)
    episode = read(tmp_path / "small")
    assert episode.hands is None
    assert "does not say how large the full picture is" in episode.notes["hands_lost"]


def test_points_beside_the_picture_cost_the_hands_alone(tmp_path: Path) -> None:
    add(tmp_path, {"pre_45": moment(30, {"left_hand": [2400, 54]})})
    episode = read(tmp_path)
    assert episode.hands is None
    assert "a hand at 2400, 54 in frame 30 lies beside the picture of 1920x1080" in episode.notes["hands_lost"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    add(tmp_path, ACTION)
    (tmp_path / "v2" / "annotations" / "fho_hands_val.json").write_text("[")
    with pytest.raises(SourceError, match=r"fho_hands_val.json: not the JSON that Ego4D ships"):
        read(tmp_path)
