"""Facts and health of a corpus, for `villa corpus info` and `villa corpus verify`."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from pydantic import Field

from dataengine.config import MOST_WORKERS, Config
from dataengine.episode import CAMERA_SLOTS
from dataengine.framing import SQUASH
from dataengine.notes import NoteCount
from dataengine.report import Report
from dataengine.schema import QUALITY, frames_column
from dataengine.store.read import framing
from dataengine.store.upkeep.health import CorpusInfo
from dataengine.store.upkeep.health import info as count
from dataengine.store.upkeep.verify import VerifyReport
from dataengine.store.upkeep.verify import verify as check
from pipelines.ingest.report import KNOW
from pipelines.output.text_table import human_bytes, text_table

if TYPE_CHECKING:
    from dataengine.store import Corpus


class CorpusConfig(Config):
    """Which corpus."""

    corpus: str


class VerifyConfig(CorpusConfig):
    """How thoroughly to look."""

    deep: bool = False
    """Decode every frame and compare checksums, instead of decoding one frame per camera."""
    workers: int = Field(0, ge=0, le=MOST_WORKERS)
    """Threads that look at once; 0 for as many as there are cores."""


class DatasetFacts(Report):
    """What a corpus holds of one dataset."""

    name: str
    kind: str
    embodiments: list[str]
    control_hz: list[float]
    episodes: int
    kept: int | None
    """Episodes that curation keeps; None before `villa curate`."""
    steps: int
    hours: float
    bytes: int
    """Of its frames."""
    cameras: list[str]
    licence: list[str]
    fit: str
    """How frames that are not square became so: squash, pad or crop."""
    frames: str
    """What became of them, in a line; empty where all are square."""
    outcomes: dict[str, int] = Field(default_factory=dict)
    """Episodes of which somebody says whether the attempt succeeded: `success`, `failure`."""
    notes: list[NoteCount] = Field(default_factory=list)
    """What everybody must know of its episodes."""

    def outcome_line(self) -> str:
        """Say how attempts ended; empty where nobody says."""
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items(), reverse=True))
        unsaid = self.episodes - sum(self.outcomes.values())
        return said and f"outcomes: {said}{f', {unsaid:,} of which nobody says' if unsaid else ''}"


class InfoReport(CorpusInfo):
    """Counts and versions, and each dataset by itself."""

    datasets: list[DatasetFacts] = Field(default_factory=list)

    def summary(self) -> str:
        """Print the counts, the datasets, and what was added and written."""
        what = f"{self.episodes:,} episodes, {self.steps:,} steps, {human_bytes(self.bytes)} of frames"
        tail = [
            f"added columns: {', '.join(_grouped(self.added_columns)) or 'none'}",
            *(f"latent actions '{name}': {about}" for name, about in self.latents.items()),
            f"rejected: {self.rejected_parts} parts, {self.rejected_records} records",
            f"commands that wrote: {self.runs}; fragments: {self.fragments}; schema {self.schema_version}",
            "versions: " + ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        ]
        if self.snapshots:
            tail.append("snapshots: " + ", ".join(self.snapshots))
        tail += [f"{facts.name}: {facts.frames}" for facts in self.datasets if facts.frames]
        tail += [f"{facts.name}: {line}" for facts in self.datasets if (line := facts.outcome_line())]
        tail += [f"note: {note}" for note in self.notes()]
        if notes := [f"  {facts.name}: {note.line()}" for facts in self.datasets for note in facts.notes]:
            tail += [KNOW, *notes]
        return "\n".join([f"{self.uri}: {what}", dataset_table(self.datasets), *tail])


def info(config: CorpusConfig) -> InfoReport:
    """Count what a corpus holds, without reading a frame."""
    from dataengine.store import Corpus
    from dataengine.store.read.noted import outcomes, tallies

    corpus = Corpus.open(config.corpus)
    facts_of_all = datasets(corpus)
    by_dataset, ended = tallies(corpus), outcomes(corpus)
    for facts in facts_of_all:
        facts.notes = by_dataset[facts.name].summed()
        facts.outcomes = dict(ended.get(facts.name, {}))
    return InfoReport(**count(corpus).model_dump(), datasets=facts_of_all)


def verify(config: VerifyConfig) -> VerifyReport:
    """Check every row and every file of a corpus."""
    from dataengine.store import Corpus

    return check(Corpus.open(config.corpus), deep=config.deep, workers=config.workers)


def datasets(corpus: "Corpus") -> list[DatasetFacts]:
    """Sum up the episodes of each dataset; of frames only their sizes are read."""
    names = ["dataset", "kind", "embodiment", "control_hz", "num_steps", "licence"]
    kept = Counter(name for batch in corpus.kept().batches(["dataset"]) for name in batch["dataset"].to_pylist())
    rows = defaultdict(list)
    for row in corpus.table(names).to_pylist():
        rows[row["dataset"]].append(row)
    sizes, framed = _sizes(corpus), framing.shapes(corpus)
    return [
        DatasetFacts(
            name=name,
            kind=mine[0]["kind"],
            embodiments=sorted({row["embodiment"] for row in mine}),
            control_hz=sorted({round(row["control_hz"], 3) for row in mine}),
            episodes=len(mine),
            kept=kept[name] if corpus.is_curated else None,
            steps=sum(row["num_steps"] for row in mine),
            hours=sum(row["num_steps"] / row["control_hz"] for row in mine) / 3600,
            bytes=sum(sizes[name].values()),
            cameras=[slot for slot in CAMERA_SLOTS if slot in sizes[name]],
            licence=sorted({row["licence"] for row in mine}),
            fit=framed[name].fit if name in framed else SQUASH,
            frames=framed[name].line() if name in framed else "",
        )
        for name, mine in sorted(rows.items())
    ]


def dataset_table(facts: list[DatasetFacts]) -> str:
    """Print one line per dataset."""
    head = ["dataset", "kind", "embodiment", "Hz", "episodes", "kept", "steps", "hours", "frames", "cameras"]
    rows = [
        [
            *(f.name, f.kind, ", ".join(f.embodiments), _rates(f.control_hz), f.episodes),
            *("-" if f.kept is None else f.kept, f.steps, round(f.hours, 2), human_bytes(f.bytes)),
            ", ".join(f.cameras),
        ]
        for f in facts
    ]
    return text_table(head, rows)


def _grouped(columns: list[str]) -> list[str]:
    """Name columns, but those of curation's numbers, of which there are fifty, by their count."""
    numbers = [name for name in columns if name.startswith(QUALITY)]
    others = [name for name in columns if not name.startswith(QUALITY)]
    return [*others, *([f"{len(numbers)} {QUALITY}* of curation (--json names them)"] if numbers else [])]


def _rates(control_hz: list[float]) -> str:
    """Print one rate, or the range of several."""
    return f"{control_hz[0]:g}" if len(control_hz) == 1 else f"{control_hz[0]:g} to {control_hz[-1]:g}"


def _sizes(corpus: "Corpus") -> dict[str, dict[str, int]]:
    """Sum the bytes of frames by dataset and camera slot, from the blobs' descriptors."""
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for slot in CAMERA_SLOTS:
        for batch in corpus.scan(["dataset", frames_column(slot)], where=f"height_{slot} IS NOT NULL"):
            pairs = zip(
                batch.column("dataset").to_pylist(),
                batch.column(frames_column(slot)).field("size").to_pylist(),
                strict=True,
            )
            for name, size in pairs:
                sizes[name][slot] = sizes[name].get(slot, 0) + size
    return sizes
