"""HO-Cap's hands: by frame, in the world, seen from the head."""

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.conventions import matrix_to_quaternion
from dataengine.episode import Episode
from dataengine.hands import geometry
from dataengine.windows.hands import vectors
from tests.support import counted_video
from tests.support.hands import camera_poses, in_world

SEQUENCE = "subject_1/20231025_165502"
HEAD, TABLE = "hololens_kv5h72", "037522251142"
FRAMES = 60


def add(root: Path, **arrays: np.ndarray) -> None:
    for camera in (HEAD, TABLE):
        folder = root / SEQUENCE / camera
        folder.mkdir(parents=True)
        for i in range(FRAMES):
            data = simplejpeg.encode_jpeg(counted_video.picture(i, 72, 128), 90)
            (folder / f"color_{i:06}.jpg").write_bytes(data)
    camera_pose = camera_poses(FRAMES)
    poses = np.zeros((2, FRAMES, 51), np.float32)
    seen = np.stack([[0.05, 0.02, 0.5 + i / 1000] for i in range(FRAMES)])
    poses[:, :, 48:] = in_world(seen[:, None], camera_pose)[:, 0]
    poses[1, :30] = -1
    pv = np.concatenate([matrix_to_quaternion(camera_pose[:, :3, :3]), camera_pose[:, :3, 3]], axis=1)
    for name, value in ({"poses_m": poses, "poses_pv": pv} | arrays).items():
        np.save(root / SEQUENCE / f"{name}.npy", value)
    k = np.array([[900.0, 0, 640], [0, 910.0, 360], [0, 0, 1]])
    stored = np.eye(4, dtype=np.float32)
    stored[:3, :3] = k.T
    stored[0, 0] = -900
    calibration = root / "calibration" / "hololens" / "kv5h72" / "personal_video" / "1000_1280_720"
    calibration.mkdir(parents=True)
    (calibration / "intrinsics.bin").write_bytes(stored.tobytes())


def read(root: Path, view: str = "head") -> Episode:
    source = catalog.source("ho_cap")(str(root), context_s=0.0, view=view)  # type: ignore[call-arg]
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


def test_each_picture_has_the_wrists_of_its_frame(tmp_path: Path) -> None:
    add(tmp_path)
    episode = read(tmp_path)
    hands = episode.hands
    assert hands is not None, episode.notes
    frames = np.array(counted_video.numbers(list(episode.cameras["primary"].jpegs)))
    for side, first in (("right", 0), ("left", 30)):
        hand = hands.sides[side]  # type: ignore[index]
        assert hand.wrist is not None
        assert hand.present.tolist() == (frames >= first).tolist()
        seen = geometry.in_camera(hand.wrist[:, None, :3], "world", hands.camera)[:, 0]
        np.testing.assert_allclose((seen[hand.present, 2] - 0.5) * 1000, frames[hand.present], atol=0.01)
        assert np.isnan(hand.wrist[~hand.present]).all()
    assert np.isfinite(hands.sides["right"].wrist).all()  # type: ignore[arg-type]
    assert np.isnan(hands.sides["left"].wrist[:, 3:]).all()  # type: ignore[index]
    assert hands.lens is not None
    assert (hands.lens.fx, hands.lens.cy) == pytest.approx((900 / 1280, 0.5))
    assert "MANO's translation" in episode.notes["hands_doubt"]
    state, action = vectors(hands)  # type: ignore[misc]
    np.testing.assert_allclose(
        state[:, 7:10], np.stack([0.5 + frames / 1000, 0 * frames - 0.05, 0 * frames - 0.02], 1), atol=1e-5
    )
    assert np.isfinite(state[:, 10:13]).all()
    assert np.isfinite(action[:-1, 7:13]).all()
    assert np.isnan(state[:, [6, 13]]).all(), "nobody tells how far it is open"
    assert np.isfinite(state[frames >= 30, :3]).all()
    assert np.isnan(state[:, 3:6]).all(), "left hands have no rotation"


def test_a_view_from_the_table_has_wrists_in_the_world_alone(tmp_path: Path) -> None:
    add(tmp_path)
    hands = read(tmp_path, "table").hands
    assert hands is not None
    assert (hands.camera, hands.lens, hands.frame) == (None, None, "world")
    assert vectors(hands) is None


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"poses_m": np.zeros((2, 60, 48))}, "poses_m.npy has shape (2, 60, 48), expected (2, n, 51)"),
        ({"poses_pv": np.zeros((9, 7))}, "poses_pv.npy has shape (9, 7), expected (60, 7) as poses_m.npy"),
        ({"poses_m": np.full((2, 60, 51), 5.0)}, "of the wrists"),
    ],
)
def test_damaged_arrays_cost_the_hands_alone(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    add(tmp_path, **arrays)
    episode = read(tmp_path)
    assert episode.hands is None
    assert said in episode.notes["hands_lost"]
