"""AgiBot World's videos that lack frames: a picture is never shown beside the numbers of another step."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dataengine import catalog
from dataengine.episode import Episode, Reject
from tests.support.agibot_tree import TASK, N, proprio, write_h5, write_task_info
from tests.support.video_writer import number_of, write_video

STEP_MS = 33
CAMERAS = {"head": "primary", "hand_left": "wrist_2", "hand_right": "wrist"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agibot") / "world"
    write_h5(root, "648642", proprio(0))
    write_task_info(root, ["648642"])
    for camera in CAMERAS:
        show(root, camera, range(N))
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "world"))


def show(root: Path, camera: str, numbers: "range | list[int]", begins: int = 0) -> None:
    """Write a video of pictures that spell their step, each at its own time."""
    path = root / "observations" / TASK / "648642" / "videos" / f"{camera}_color.mp4"
    options = {"crf": "12", "bf": "0"}
    write_video(path, list(numbers), 30, options=options, times_ms=[STEP_MS * (k - begins) for k in numbers])


def read(root: Path) -> Episode | Reject:
    source = catalog.source("agibot")(str(root), frame_size=256)
    (outcome,) = [outcome for part in source.parts() for outcome in source.read(part)]
    return outcome


@pytest.mark.parametrize("num_frames", [N - 2, N - 1, N, N + 2])
def test_what_lacks_at_an_end_shifts_nothing(root: Path, num_frames: int) -> None:
    show(root, "hand_left", range(num_frames))
    episode = read(root)
    assert episode.num_steps == min(num_frames, N)
    np.testing.assert_allclose(
        episode.state[:, 0], proprio(0)["state/end/position"][: episode.num_steps, 0, 0], rtol=1e-6
    )
    for frames in episode.cameras.values():
        assert [number_of(simplejpeg.decode_jpeg(data)) for data in frames.jpegs] == list(range(episode.num_steps))


@pytest.mark.parametrize(
    ("numbers", "where"),
    [
        ([k for k in range(N) if k != 5], "lacks 1 of 12 frames, some of them after frame 4"),
        ([k for k in range(N) if k not in (2, 8)], "lacks 2 of 12 frames, some of them after frame 1"),
        (range(2, N), "lacks 2 of 12 frames, and starts 0.066 s late"),
    ],
)
def test_frames_that_lack_elsewhere_reject_the_episode(root: Path, numbers: "range | list[int]", where: str) -> None:
    show(root, "hand_left", numbers)
    outcome = read(root)
    assert isinstance(outcome, Reject)
    assert outcome.record == f"{TASK}/648642"
    assert outcome.reason == f"hand_left {where}: its frames are of other steps"


def test_a_whole_video_that_starts_late_or_pauses_is_as_good_as_any(root: Path) -> None:
    show(root, "head", range(N), begins=-7)
    path = root / "observations" / TASK / "648642" / "videos" / "hand_right_color.mp4"
    write_video(path, list(range(N)), 30, times_ms=[STEP_MS * k + 500 * (k > 6) for k in range(N)])
    episode = read(root)
    for frames in episode.cameras.values():
        assert [number_of(simplejpeg.decode_jpeg(data)) for data in frames.jpegs] == list(range(N))
