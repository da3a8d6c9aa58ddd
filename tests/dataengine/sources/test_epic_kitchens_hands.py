"""EPIC-KITCHENS' detections as published: a pickle of messages, on a clock of 60 or of 50 frames in a second."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from tests.support import counted_video

HEAD = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration"


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: Any) -> bytes:
    """Write a field as protobuf 3 does: what is 0 is left out."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value) if value else b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    return varint(number << 3 | 2) + varint(len(value)) + value


def hand(side: int, score: float, left: float, top: float = 0.25) -> bytes:
    box = b"".join(field(i, x) for i, x in enumerate((left, top, left + 0.25, 0.75), 1))
    offset = field(1, 0.1) + field(2, -0.1)
    return field(1, box) + field(2, score) + field(3, 3) + field(4, offset) + field(5, side)


def message(video: str, number: int, hands: list[bytes]) -> bytes:
    thing = field(1, field(1, 0.5)) + field(2, 0.9)
    return field(1, video.encode()) + field(2, number) + b"".join(field(3, h) for h in hands) + field(4, thing)


def detections(video: str, count: int) -> list[bytes]:
    """A left hand in every second frame, whose box tells the frame; two right hands."""
    messages = []
    for number in range(1, count + 1):
        hands = [hand(1, 0.6, 0.7), hand(1, 0.9, 0.0), hand(1, 0.2, 0.1)]
        if number % 2 == 0:
            hands.append(hand(0, 0.8, number / 1000))
        messages.append(message(video, number, hands))
    return messages


def root_with(root: Path, rate_hz: float, video: str, name: str) -> Path:
    participant = video.partition("_")[0]
    row = f"{video}_0,{participant},{video},00:00:01.00,00:00:03.00,wash cup"
    (root / "EPIC_100_train.csv").write_text(f"{HEAD}\n{row}\n")
    counted_video.write(root / participant / "videos" / f"{video}.MP4", round(4 * rate_hz), rate_hz)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read(root: Path) -> Episode:
    source = catalog.source("epic_kitchens")(str(root), context_s=0.0)  # type: ignore[call-arg]
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


@pytest.mark.parametrize(
    ("video", "rate_hz", "clock_hz", "name"),
    [
        ("P01_01", 60000 / 1001, 60, "P01/hand-objects/P01_01.pkl"),
        ("P01_101", 50.0, 50, "hand-objects/P01/P01_101.pkl"),
        ("P01_01", 30000 / 1001, 60, "EPIC-KITCHENS/P01/hand-objects/P01_01.pkl"),
    ],
)
@pytest.mark.parametrize("protocol", [3, 4])
def test_boxes_are_taken_by_the_time_of_their_frame(
    tmp_path: Path, video: str, rate_hz: float, clock_hz: int, name: str, protocol: int
) -> None:
    path = root_with(tmp_path, rate_hz, video, name)
    path.write_bytes(pickle.dumps(detections(video, 4 * clock_hz), protocol=protocol))
    episode = read(tmp_path)
    hands = episode.hands
    assert hands is not None, episode.notes
    assert (hands.source, hands.estimated, hands.frame) == ("detector", True, None)
    shown_s = np.array(counted_video.numbers(list(episode.cameras["primary"].jpegs))) / rate_hz
    wanted = np.round(shown_s * clock_hz) + 1
    left, right = hands.sides["left"], hands.sides["right"]
    assert left.present.tolist() == (wanted % 2 == 0).tolist()
    np.testing.assert_allclose(left.box[left.present, 0] * 1000, wanted[left.present], atol=0.01)  # type: ignore[index]
    assert np.isnan(left.box[~left.present]).all()  # type: ignore[index]
    np.testing.assert_allclose(right.box, [[0.0, 0.25, 0.25, 0.75]] * 20)  # type: ignore[arg-type]
    np.testing.assert_allclose(right.confidence, 0.9)
    count = 4 * clock_hz
    assert episode.notes["hands_of_others"].startswith(f"in {count} of {count} frames")


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(Evil()), "the pickle tries to load"),
        (pickle.dumps({"a": 1}), "holds dict, expected a list of messages"),
        (pickle.dumps(detections("P01_02", 240)), "is of video b'P01_02', expected P01_01"),
        (pickle.dumps(detections("P01_01", 240)[::-1]), "frame numbers do not rise"),
        (pickle.dumps(detections("P01_01", 420)), "420 frames at 60 in a second last 7.0 s, the video 4.0 s"),
        (pickle.dumps([m[:-3] for m in detections("P01_01", 240)]), "message 0: message ends within field 4"),
        (pickle.dumps([message("P01_01", 1, [hand(7, 0.9, 0.1)])]), "a hand has side 7"),
        (b"", "the pickle is damaged"),
    ],
)
def test_damaged_detections_cost_the_hands_alone(tmp_path: Path, content: bytes, said: str) -> None:
    root_with(tmp_path, 60.0, "P01_01", "P01/hand-objects/P01_01.pkl").write_bytes(content)
    episode = read(tmp_path)
    assert episode.hands is None
    assert said in episode.notes["hands_lost"]
    assert len(episode.cameras["primary"].jpegs) == 20


def test_a_video_without_detections_has_no_hands_and_no_note(tmp_path: Path) -> None:
    root_with(tmp_path, 60.0, "P01_01", "P01/hand-objects/P01_01.pkl")
    episode = read(tmp_path)
    assert episode.hands is None
    assert not [key for key in episode.notes if key.startswith("hands")]
