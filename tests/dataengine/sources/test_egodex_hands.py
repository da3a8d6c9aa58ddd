"""EgoDex' joints: the frame, the side and the joint that each number was made of are read back from the clips."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode
from dataengine.hands import Hands, Side, geometry
from dataengine.hands.orders import apple_names
from tests.support import counted_video
from tests.support.hands import before_camera, camera_poses, frame_numbers, in_world

PATH = "part1/jar/0"
FRAMES = 60


def add(root: Path, *, num_rows: int = FRAMES, order: str = "", confidences: bool = True, lens: bool = True) -> None:
    path = root / f"{PATH}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = camera_poses(num_rows)
    with h5py.File(path, "w") as file:
        file.attrs["llm_description"] = "open the jar"
        file["transforms/camera"] = poses.astype(np.float32)
        if lens:
            file["camera/intrinsic"] = np.array([[700, 0, 960], [0, 710, 540], [0, 0, 1]], np.float32)
        sides: tuple[Side, ...] = ("left", "right")
        for side in sides:
            points = in_world(before_camera(side, num_rows), poses)
            names = apple_names({"swapped": {"left": "right", "right": "left"}[side]}.get(order, side))
            for i, name in enumerate(sorted(names) if order == "by alphabet" else names):
                matrix = np.tile(np.eye(4, dtype=np.float32), (num_rows, 1, 1))
                matrix[:, :3, 3] = points[:, i]
                file[f"transforms/{name}"] = matrix
                if confidences:
                    hidden = (np.arange(num_rows) < 30) & (side == "left") & name.endswith("Hand")
                    file[f"confidences/{name}"] = np.where(hidden, 0, 0.9 if name.endswith("Hand") else 0.5)
    counted_video.write(path.with_suffix(".mp4"), FRAMES, 30.0, size=(108, 192))


def read(root: Path) -> Episode:
    source = catalog.source("egodex")(str(root))
    (episode,) = [record for part in source.parts() for record in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


def hands_of(episode: Episode) -> Hands:
    assert episode.hands is not None, episode.notes
    return episode.hands


def test_each_picture_has_the_hands_of_its_frame(tmp_path: Path) -> None:
    add(tmp_path)
    episode = read(tmp_path)
    hands = hands_of(episode)
    frames = counted_video.numbers(list(episode.cameras["primary"].jpegs))
    assert frames == list(range(0, 60, 3))
    assert frame_numbers(hands, "right") == frames
    assert frame_numbers(hands, "left") == [frame if frame >= 30 else None for frame in frames]
    assert (hands.source, hands.frame, hands.estimated) == ("tracker", "world", False)
    np.testing.assert_allclose(hands.sides["right"].confidence, 0.45, rtol=1e-6)
    camera = geometry.in_camera(hands.sides["left"].keypoints, "world", hands.camera)  # type: ignore[arg-type]
    np.testing.assert_allclose(camera[10:], before_camera("left", FRAMES)[30::3], atol=1e-5)
    np.testing.assert_allclose(
        geometry.in_picture(hands, "right")[0],  # type: ignore[index]
        [700 / 1920 * 0.12 / 0.5 + 0.5, 710 / 1080 * 0.1 / 0.5 + 0.5],
        rtol=1e-4,
    )
    assert not [key for key in episode.notes if key.startswith("hands")]


@pytest.mark.parametrize(
    ("order", "said"),
    [("by alphabet", "left hand: wrist to knuckle is"), ("swapped", "left and right swapped, or mirrored?")],
)
def test_hands_in_another_order_or_swapped_cost_the_hands_alone(tmp_path: Path, order: str, said: str) -> None:
    add(tmp_path, order=order)
    episode = read(tmp_path)
    assert episode.hands is None
    assert said in episode.notes["hands_lost"]
    assert len(episode.cameras["primary"].jpegs) == 20


def test_what_a_file_lacks_is_noted(tmp_path: Path) -> None:
    add(tmp_path, num_rows=50, confidences=False, lens=False)
    episode = read(tmp_path)
    assert frame_numbers(hands_of(episode), "left") == [*range(0, 50, 3), None, None, None]
    assert np.isnan(hands_of(episode).sides["left"].confidence).all()
    assert hands_of(episode).lens.fx == pytest.approx(736.6339 / 1920)  # type: ignore[union-attr]
    assert "rows of joints are not as many as frames" in episode.notes["hands_doubt"]
    assert "hands_lens" in episode.notes
    with h5py.File(tmp_path / f"{PATH}.hdf5", "a") as file:
        del file["transforms/leftThumbTip"]
    assert read(tmp_path).notes["hands_lost"] == "0.hdf5: key 'transforms/leftThumbTip' is missing"


def test_bars_around_a_picture_move_its_lens(tmp_path: Path) -> None:
    add(tmp_path)
    (episode,) = [
        record
        for source in [catalog.source("egodex")(str(tmp_path), fit="pad")]  # type: ignore[call-arg]
        for part in source.parts()
        for record in source.read(part)
    ]
    assert isinstance(episode, Episode)
    assert geometry.in_picture(hands_of(episode), "right")[0] == pytest.approx(  # type: ignore[index]
        [700 / 1920 * 0.24 + 0.5, (710 / 1080 * 0.2 + 0.5) * 1080 / 1920 + 420 / 1920], rel=1e-4
    )
