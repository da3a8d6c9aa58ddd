"""What tests of commands share: `villa` in this process, and a corpus."""

import pytest

from tests.support.corpora import human_clip, make_corpus, robot_episode
from tests.support.said import villa_of


@pytest.fixture
def villa(capsys):
    return villa_of(capsys)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Two robots and a human clip."""
    path = tmp_path_factory.mktemp("corpus") / "made"
    parts = {
        "a": [robot_episode(f"a{i}", dataset="shelves", embodiment="arm") for i in range(3)],
        "b": [robot_episode(f"b{i}", dataset="drawers", embodiment="hand", control_hz=20.0) for i in range(2)],
        "c": [human_clip("c0", dataset="kitchen")],
    }
    return make_corpus(path, parts).uri
