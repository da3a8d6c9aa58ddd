"""HOI4D's hands: pickles of Python 2 and 3, one for each frame that has a hand."""

import io
import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dataengine import catalog
from dataengine.conventions import quaternion_to_matrix
from dataengine.episode import Episode
from dataengine.hands.mano import TO_HOUSE
from dataengine.windows.hands import vectors
from tests.support import counted_video
from tests.support.hands import ROTATION, before_camera

NAME = "ZY20210800001/H1/C2/N19/S100/s02/T1"
TABLE = "Category ID,Category,T1\nC2,Mug,Pick and place\n"
K = np.array([[1060.0, 0, 970], [0, 1061.0, 523], [0, 0, 1]])
FRAMES = 60


class OldPickler(pickle._Pickler):
    """Writes words and bytes as Python 2 did."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_word(self, word: Any) -> None:
        data = word if isinstance(word, bytes) else word.encode("latin1")
        self.write(b"T" + len(data).to_bytes(4, "little") + data)  # type: ignore[attr-defined]
        self.memoize(word)  # type: ignore[attr-defined]

    dispatch[bytes] = dispatch[str] = save_word


def old(value: Any, protocol: int) -> bytes:
    stream = io.BytesIO()
    OldPickler(stream, protocol).dump(value)
    return stream.getvalue()


def annotation(frame: int) -> dict[str, Any]:
    """A hand whose fingers lean up, so that the picture shows where they point."""
    tilt = np.array([[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]])
    camera = before_camera("right", FRAMES)[frame]
    points = (camera - camera[0]) @ tilt.T + camera[0]
    axes = tilt @ ROTATION @ TO_HOUSE.T
    angle = np.arccos((np.trace(axes) - 1) / 2)
    axis = np.array([axes[2, 1] - axes[1, 2], axes[0, 2] - axes[2, 0], axes[1, 0] - axes[0, 1]]) / (2 * np.sin(angle))
    pixels = (points @ K.T)[:, :2] / points[:, 2:]
    return {
        "poseCoeff": np.concatenate([axis * angle, np.zeros(45)]),
        "beta": np.zeros(10),
        "trans": np.array([frame / 1000, 0.1, 0.6]),
        "kps2D": pixels,
    }


def add(root: Path, dump: Any, folder: str = "handpose/refinehandpose_right", spell: str = "{}.pickle") -> Path:
    (root / "task_definitions.csv").write_text(TABLE)
    counted_video.write(root / NAME / "align_rgb" / "image.mp4", FRAMES, 15.0, size=(108, 192))
    target = root / folder / NAME
    target.mkdir(parents=True)
    for frame in range(FRAMES):
        if frame % 4 != 1:
            (target / spell.format(frame)).write_bytes(dump(annotation(frame)))
    (root / "camera_params" / "ZY20210800001").mkdir(parents=True)
    np.save(root / "camera_params" / "ZY20210800001" / "intrin.npy", K)
    return target


def read(root: Path) -> Episode:
    source = catalog.source("hoi4d")(str(root), context_s=0.0)  # type: ignore[call-arg]
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


@pytest.mark.parametrize(
    ("dump", "folder", "spell"),
    [
        (pickle.dumps, "handpose/refinehandpose_right", "{}.pickle"),
        (lambda x: pickle.dumps(x, protocol=2), "Hand_pose/handpose_right_hand", "{:05}.pickle"),
        (lambda x: old(x, 2), "handpose/refinehandpose_right", "{:05}.pickle"),
        (lambda x: old(x, 1), "HOI4D_annotations/handpose/refinehandpose_right", "{}.pickle"),
    ],
)
def test_each_picture_has_the_hand_of_its_frame(tmp_path: Path, dump: Any, folder: str, spell: str) -> None:
    add(tmp_path, dump, folder, spell)
    episode = read(tmp_path)
    hands = episode.hands
    assert hands is not None, episode.notes
    frames = np.array(counted_video.numbers(list(episode.cameras["primary"].jpegs)))
    right = hands.sides["right"]
    assert right.wrist is not None
    assert right.keypoints_2d is not None
    assert list(hands.sides) == ["right"]
    assert right.present.tolist() == (frames % 4 != 1).tolist()
    there = right.present
    np.testing.assert_allclose(right.wrist[there, 0] * 1000, frames[there], atol=1e-3)
    assert np.isnan(right.wrist[~there]).all()
    for points, frame in zip(right.keypoints_2d[there], frames[there].tolist(), strict=True):
        np.testing.assert_allclose(points, annotation(frame)["kps2D"] / [1920, 1080], rtol=1e-5)
    x = quaternion_to_matrix(right.wrist[there, 3:])[0, :, 0]
    np.testing.assert_allclose(x, [0.0, -0.8, 0.6], atol=1e-5)
    assert (hands.source, hands.frame, hands.estimated) == ("mano", "camera", False)
    assert hands.lens is not None
    assert hands.lens.fx == pytest.approx(1060 / 1920)
    state, _ = vectors(hands)  # type: ignore[misc]
    np.testing.assert_allclose(state[there, 7], 0.6, atol=1e-6)
    np.testing.assert_allclose(state[there, 8] * -1000, frames[there], atol=1e-3)
    assert np.isfinite(state[there, 7:13]).all()
    assert np.isnan(state[~there]).all()
    assert np.isnan(state[:, [*range(7), 13]]).all()
    assert "MANO's translation" in episode.notes["hands_doubt"]
    assert "hands_rotation_lost" not in episode.notes


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (old({"kps2D": 1}, 2), "'kps2D' is missing or not of shape (21, 2)"),
        (pickle.dumps([1]), "holds list, expected kps2D, trans, poseCoeff"),
        (pickle.dumps(Evil(), 1), "the pickle tries to load"),
        (pickle.dumps(Evil(), 2), "the pickle tries to load"),
        (b"(dp0\nS'a'\nI1\ns.", "the pickle tries to run DICT at byte 1"),
        (b"\x80\x02}U\x05", "damaged"),
    ],
)
def test_damaged_pickles_cost_the_hands_alone(tmp_path: Path, content: bytes, said: str) -> None:
    (add(tmp_path, pickle.dumps) / "8.pickle").write_bytes(content)
    episode = read(tmp_path)
    assert episode.hands is None
    assert said in episode.notes["hands_lost"]


def test_fingers_that_point_elsewhere_cost_the_rotation_alone(tmp_path: Path) -> None:
    def turned(value: dict[str, Any]) -> bytes:
        value["kps2D"] = 2 * value["kps2D"][:1] - value["kps2D"]
        return pickle.dumps(value)

    add(tmp_path, turned)
    episode = read(tmp_path)
    assert episode.hands is not None
    assert np.isnan(episode.hands.sides["right"].wrist[:, 3:]).all()  # type: ignore[index]
    assert "does not fit" in episode.notes["hands_rotation_lost"]
