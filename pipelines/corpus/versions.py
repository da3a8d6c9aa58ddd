"""States of a corpus by name, and what changed between two: `villa corpus snapshot` and `villa corpus diff`."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.report import Report
from dataengine.schema import ROBOTS_KEY
from dataengine.store.upkeep.diff import DiffReport
from dataengine.windows.episode_info import is_held_out
from dataengine.windows.mixture import DatasetShare, WindowSampler
from dataengine.windows.window import WindowSpec
from pipelines.output.text_table import text_table
from pipelines.recipes.mixture import NamedMixture

if TYPE_CHECKING:
    from dataengine.store import Corpus

COUNTED = WindowSpec(num_frames=8)
"""The windows that a snapshot's table counts: villa-X's clips of eight frames, 0.7 s apart."""


class SnapshotConfig(Config):
    """What to name, and what trainings of it draw."""

    corpus: str
    name: str
    """What to call it; a name is given once."""
    mixture: NamedMixture | None = None
    """`villa-x`, `villa-x-ablation`, a YAML file, or keys of `villa train`'s mixture; None: all datasets by frames."""


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
    mixture: dict[str, Any] | None = None
    """Settings of the mixture that trainings of it take by default; None for every dataset by its frames."""
    shares: list[DatasetShare] = Field(default_factory=list)
    """What the mixture draws of each dataset, in windows of 8 frames 0.7 s apart; empty where nothing offers one."""
    missing: list[str] = Field(default_factory=list)
    """Optional datasets of the mixture that the corpus does not hold."""
    notes: list[str] = Field(default_factory=list)

    def summary(self) -> str:
        """Say what it holds."""
        which = f" ({self.filter})" if self.filter else ""
        head = f"snapshot {self.name}: {self.episodes} episodes{which}, {self.steps} steps, version"
        rows = [[s.dataset, s.episodes, s.windows, f"{100 * s.share:.2f} %"] for s in self.shares]
        drawn = {s.dataset for s in self.shares}
        rows += [[name, count, "-", "0"] for name, count in self.datasets.items() if name not in drawn]
        lines = [f"{head} {self.versions['episodes']}, content {self.content_hash}"]
        lines.append(text_table(["dataset", "episodes", "windows", "share"], rows) if rows else "  no dataset")
        if self.missing:
            lines.append(f"not there, and left out: {', '.join(self.missing)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


class SnapshotsReport(Report):
    """Every snapshot of a corpus."""

    corpus: str
    snapshots: list[SnapshotFacts]

    def summary(self) -> str:
        """Print a line for each."""
        if not self.snapshots:
            return f"{self.corpus}: no snapshots; `villa corpus snapshot {self.corpus} NAME` takes one"
        head = ["snapshot", "taken", "version", "episodes", "steps", "datasets", "mixture", "content"]
        rows = [
            [
                *(s.name, f"{s.created_at:%Y-%m-%d %H:%M}", s.versions["episodes"], s.episodes, s.steps),
                *(len(s.datasets), "by frames" if s.mixture is None else "its own", s.content_hash),
            ]
            for s in self.snapshots
        ]
        return text_table(head, rows)


def snapshot(config: SnapshotConfig) -> SnapshotFacts:
    """Name the present state of every table; refuse a mixture that names what the corpus does not hold."""
    from dataengine.store import Corpus

    corpus = Corpus.open(config.corpus)
    shares, missing = _shares(corpus, config)
    taken = corpus.take_snapshot(config.name, config.mixture)
    notes = _notes(Corpus.open(corpus.uri, snapshot=taken.name))
    return SnapshotFacts(**vars(taken), shares=shares, missing=missing, notes=notes)


def _shares(corpus: "Corpus", config: SnapshotConfig) -> tuple[list[DatasetShare], list[str]]:
    """Say what the mixture makes of the episodes that trainings may see."""
    episodes = [e for e in corpus.kept().episodes() if not is_held_out(e, 0)]
    try:
        sampler = WindowSampler(episodes, COUNTED, batch_size=1, seed=0, mixture=config.mixture)
    except DataEngineError:
        if config.mixture is not None:
            raise
        return [], []  # a corpus of episodes too short to train on has states worth a name, too
    return list(sampler.by_dataset), sampler.missing


def _notes(corpus: "Corpus") -> list[str]:
    """Tell what a training of a snapshot will miss."""
    from dataengine.store.snapshots import HAS_VECTORS

    if not corpus.count(HAS_VECTORS):
        return []
    again = f"run `villa stats {corpus.uri}` and take another snapshot to train on it"
    table = corpus.stats()
    if table is None:
        return [f"it has no statistics; {again}"]
    seen = (table.schema.metadata or {}).get(ROBOTS_KEY)
    if seen is not None and seen.decode() != corpus.robots_hash():
        return [f"its statistics are older than its episodes or their curation; {again}"]
    return []


def snapshots(corpus: str) -> SnapshotsReport:
    """List the snapshots, oldest first."""
    from dataengine.store import Corpus

    opened = Corpus.open(corpus)
    return SnapshotsReport(corpus=opened.uri, snapshots=[SnapshotFacts(**vars(s)) for s in opened.snapshots()])


def diff(corpus: str, before: str, after: str) -> DiffReport:
    """Compare two states, each a snapshot, the number of a version, or `now`."""
    from dataengine.store.upkeep import diff as store

    return store.diff(store.open_at(corpus, before), store.open_at(corpus, after), (before, after))
