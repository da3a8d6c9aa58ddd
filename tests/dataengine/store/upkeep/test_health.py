from pathlib import Path

import pytest

from dataengine.store import Corpus, add_episodes
from dataengine.store.upkeep import health
from tests.support.npz_source import make_episode


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus.create(tmp_path / "corpus")
    add_episodes(corpus, [make_episode(name, steps=4, cameras=("primary", "wrist")) for name in "abc"])
    return corpus


def test_info_counts_what_is_there(corpus: Corpus) -> None:
    none = dict.fromkeys(("state", "action", "raw_state", "raw_action"))
    add_episodes(corpus, [make_episode("clip", steps=20, embodiment="human_hand", kind="human", **none)], "clips")
    info = health.info(corpus)
    assert (info.episodes, info.steps, info.schema_version) == (4, 32, 1)
    assert info.cameras == {"primary": 4, "wrist": 3}
    assert [(g.embodiment, g.kind, g.episodes, g.steps) for g in info.groups] == [
        ("arm", "robot", 3, 12),
        ("human_hand", "human", 1, 20),
    ]
    assert sum(g.hours for g in info.groups) == pytest.approx(32 / 10 / 3600)
    stored = corpus.jpegs("primary", [(i, f) for i in corpus.episode_ids() for f in range(4)])
    assert info.bytes > sum(map(len, stored))
    assert "4 episodes, 32 steps" in info.summary()
