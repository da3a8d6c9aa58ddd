"""States of a corpus by name, and what changed between two: `villa corpus snapshot` and `villa corpus diff`."""

from datetime import datetime

from dataengine.report import Report
from dataengine.store.diff import DiffReport
from pipelines.text_table import text_table


class SnapshotFacts(Report):
    """One snapshot."""

    name: str
    created_at: datetime
    versions: dict[str, int]
    """Version of each table."""
    filter: str
    """Which of its episodes count, in SQL; empty for all."""
    episodes: int
    steps: int
    datasets: dict[str, int]
    """Episodes of each dataset."""
    content_hash: str
    """Of the sorted ids of its episodes."""

    def summary(self) -> str:
        """Say what it holds."""
        which = f" ({self.filter})" if self.filter else ""
        counts = ", ".join(f"{name} {count}" for name, count in self.datasets.items()) or "no dataset"
        head = f"snapshot {self.name}: {self.episodes} episodes{which}, {self.steps} steps, version"
        return f"{head} {self.versions['episodes']}, content {self.content_hash}\n  {counts}"


class SnapshotsReport(Report):
    """Every snapshot of a corpus."""

    corpus: str
    snapshots: list[SnapshotFacts]

    def summary(self) -> str:
        """Print a line for each."""
        if not self.snapshots:
            return f"{self.corpus}: no snapshots; `villa corpus snapshot {self.corpus} NAME` takes one"
        head = ["snapshot", "taken", "version", "episodes", "steps", "datasets", "content"]
        rows = [
            [
                *(s.name, f"{s.created_at:%Y-%m-%d %H:%M}", s.versions["episodes"], s.episodes, s.steps),
                *(len(s.datasets), s.content_hash),
            ]
            for s in self.snapshots
        ]
        return text_table(head, rows)


def snapshot(corpus: str, name: str) -> SnapshotFacts:
    """Name the present state of every table."""
    from dataengine.store import Corpus

    return SnapshotFacts(**vars(Corpus.open(corpus).take_snapshot(name)))


def snapshots(corpus: str) -> SnapshotsReport:
    """List the snapshots, oldest first."""
    from dataengine.store import Corpus

    found = Corpus.open(corpus)
    return SnapshotsReport(corpus=found.uri, snapshots=[SnapshotFacts(**vars(s)) for s in found.snapshots()])


def diff(corpus: str, before: str, after: str) -> DiffReport:
    """Compare two states, each a snapshot, the number of a version, or `now`."""
    from dataengine.store import diff as store

    return store.diff(store.open_at(corpus, before), store.open_at(corpus, after), (before, after))
