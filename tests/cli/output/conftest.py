"""What commands that write a folder read."""

import pytest

from pipelines import stats
from tests.support.corpora import make_corpus, robot_episode
from tests.support.lams import make_lam


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """A corpus and a model that fits it."""
    root = tmp_path_factory.mktemp("made")
    corpus = make_corpus(root / "corpus", {"a": [robot_episode(f"r{i}", num_steps=14) for i in range(6)]})
    jpegs = corpus.jpegs("primary", [(e, i) for e in corpus.episode_ids() for i in range(8)])
    make_lam(root / "lam", jpegs)
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return root
