"""The corpus at rest; the only importer of lance."""

import os
import warnings

# Lance's own log says at warning level that a table will be created.
os.environ.setdefault("LANCE_LOG", "error")
# Lance warns at every fork; ours only ever start another program, and our runners spawn.
warnings.filterwarnings("ignore", message="lance is not fork-safe")

# ruff: noqa: E402
from dataengine.store.add import add_episodes
from dataengine.store.committer import Committer
from dataengine.store.corpus import Corpus
from dataengine.store.row import StoredEpisode
from dataengine.store.staging import Staging, stage_part

__all__ = ["Committer", "Corpus", "Staging", "StoredEpisode", "add_episodes", "stage_part"]
