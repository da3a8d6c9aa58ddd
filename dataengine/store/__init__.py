"""The corpus at rest; the only importer of lance."""

import os
import warnings

# Lance's own log says at warning level that a table will be created.
os.environ.setdefault("LANCE_LOG", "error")
# Lance warns at every fork; ours only ever start another program, and our runners spawn.
warnings.filterwarnings("ignore", message="lance is not fork-safe")

# ruff: noqa: E402
from dataengine.store.commit.add import add_episodes
from dataengine.store.commit.committer import Committer
from dataengine.store.commit.staging import Staging, stage_part
from dataengine.store.read.corpus import Corpus
from dataengine.store.read.episode import StoredEpisode
from dataengine.store.upkeep.verify import verify

__all__ = ["Committer", "Corpus", "Staging", "StoredEpisode", "add_episodes", "stage_part", "verify"]
