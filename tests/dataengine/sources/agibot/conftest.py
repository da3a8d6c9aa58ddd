"""A tree of AgiBot World that each test may damage."""

import shutil
from pathlib import Path

import pytest

from tests.support.agibot_tree import TASK, proprio, write_h5, write_task_info, write_video


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of grippers."""
    root = tmp_path_factory.mktemp("agibot") / "world"
    for i, episode in enumerate(("648642", "648700")):
        write_h5(root, episode, proprio(i))
        for j, camera in enumerate(("head", "hand_left", "hand_right")):
            write_video(root / "observations" / TASK / episode / "videos" / f"{camera}_color.mp4", level=40 * j)
    write_task_info(root, ["648642", "648700"])
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "world")
    return tmp_path / "world"
