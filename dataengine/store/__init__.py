"""The corpus at rest; the only importer of lance."""

from dataengine.store.add import add_episodes
from dataengine.store.committer import Committer
from dataengine.store.corpus import Corpus
from dataengine.store.row import StoredEpisode
from dataengine.store.staging import Staging, stage_part

__all__ = ["Committer", "Corpus", "Staging", "StoredEpisode", "add_episodes", "stage_part"]
