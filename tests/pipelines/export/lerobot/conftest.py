"""A corpus of two bodies and two rates, and what is exported of it."""

import pytest

from tests.support.corpora import human_clip, make_corpus
from tests.support.lerobot_export import arm_episodes, export, two_cameras


@pytest.fixture(scope="package")
def corpus(tmp_path_factory):
    parts = {
        "arm": arm_episodes(),
        "slow": [two_cameras("s1", 9, control_hz=4.98)],
        "hand": [human_clip("h1"), human_clip("h2")],
    }
    return make_corpus(tmp_path_factory.mktemp("export") / "corpus", parts)


@pytest.fixture(scope="package")
def out(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(corpus, folder)
    return folder
