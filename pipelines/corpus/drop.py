"""Takes a dataset out of a corpus, to be ingested anew: `villa corpus drop`."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count, takewhile
from typing import TYPE_CHECKING

from pydantic import Field

from dataengine.config import Config
from dataengine.episode import Part
from dataengine.errors import DataEngineError
from dataengine.report import Report
from pipelines.corpus.names import known_dataset, only
from pipelines.ingest.alone import alone_at
from pipelines.output.text_table import human_bytes

if TYPE_CHECKING:
    from dataengine.store import Corpus
    from dataengine.store.upkeep.drop import Selection

COUNTS = ("dataset", "episodes", "steps", "bytes", "parts", "rejects", "staged_parts", "statistics")
"""What is kept of a run."""


class DropConfig(Config):
    """What to take out of which corpus."""

    corpus: str
    """Directory or object-store URI."""
    dataset: str
    """Name, as `villa corpus info` lists it."""
    parts: list[str] = Field(default_factory=list)
    """Parts of it, each by its name, or by the first letters of its id; all of the dataset when none is named."""
    yes: bool = False
    """Do it; without this nothing is changed."""
    dry_run: bool = False
    """Tell what would go, change nothing."""


class DropReport(Report):
    """What was taken out, or would be."""

    corpus: str
    dataset: str
    episodes: int
    steps: int
    bytes: int
    """Of the frames of those episodes."""
    named: list[str] = Field(default_factory=list)
    """Parts that were named; empty for all of the dataset."""
    parts: int
    """Of the source, that had episodes here."""
    rejects: int
    """Records and parts that could not be read, of which nothing is known any more."""
    staged_parts: int
    """Read by an ingest that was stopped, and not committed."""
    statistics: int
    """Rows of the statistics."""
    labels: list[str]
    """Models whose latent actions went with the episodes."""
    snapshots: list[str]
    """Snapshots that hold the episodes, and keep them."""
    version: int
    """Newest version of the episodes that holds them."""
    dry_run: bool = False
    notes: list[str] = Field(default_factory=list)

    def what(self) -> str:
        """Count what there is, the episodes first."""
        counts = [f"{self.episodes:,} episodes ({self.steps:,} steps, {human_bytes(self.bytes)} of frames)"]
        others = {"rejects": self.rejects, "staged parts": self.staged_parts, "rows of statistics": self.statistics}
        counts += [f"{number:,} {name}" for name, number in others.items() if number]
        return ", ".join(counts) + f" of {self.dataset}"

    def summary(self) -> str:
        """Say what went, what stays of it, and what to do next."""
        if not (self.episodes or self.rejects or self.staged_parts or self.statistics):
            what = f"part {', '.join(self.named)} of {self.dataset}" if self.named else self.dataset
            return f"nothing to do: {self.corpus} holds nothing of {what}"
        lines = [f"{self.corpus}: {'would drop' if self.dry_run else 'dropped'} {self.what()}"]
        if self.labels:
            lines.append(f"with them the latent actions of {', '.join(self.labels)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def run(config: DropConfig) -> DropReport:
    """Take a dataset or parts of it out; killed at any moment, the same command ends in the same corpus."""
    from dataengine.store import Corpus
    from dataengine.store.side_tables import new_run_id
    from dataengine.store.upkeep import drop as store

    started_at, start = datetime.now(UTC), time.monotonic()
    uri = Corpus.writable_uri(config.corpus)
    corpus = Corpus.open(uri)
    selection = _selection(corpus, config)
    report = _report(corpus, selection, config)
    if config.dry_run or not (report.episodes or report.rejects or report.staged_parts or report.statistics):
        return report
    if not config.yes:
        raise DataEngineError(f"{uri}: nothing changed; --yes drops {report.what()}, --dry-run tells more")
    corpus.check_writable()
    with alone_at(uri, config.dataset, "corpus drop"):
        corpus.refresh()  # whoever was at it until now may have committed
        report = _report(corpus, selection, config)
        row = {"run_id": new_run_id(), "command": "drop", "config": config.model_dump(), "started_at": started_at}
        row |= {"version_in": report.version, "counts": report.model_dump(include=set(COUNTS))}
        corpus.append_run({**row, "version_out": report.version})
        store.drop(corpus, selection)
        corpus.append_run({**row, "version_out": corpus.version, "seconds": time.monotonic() - start})
    return report


def _selection(corpus: "Corpus", config: DropConfig) -> "Selection":
    """Find the dataset and its parts by their names."""
    from dataengine.store.upkeep.drop import Selection, part_ids

    known_dataset(corpus, config.dataset)
    if not config.parts:
        return Selection(dataset=config.dataset)
    there = part_ids(corpus, config.dataset)
    return Selection(
        dataset=config.dataset,
        parts=frozenset(i for wanted in config.parts for i in _readings(corpus, config.dataset, wanted, there)),
    )


def _readings(corpus: "Corpus", dataset: str, wanted: str, there: set[str]) -> list[str]:
    """Give the ids of all readings of a part that is named, or the one id that starts as wanted.

    None of one that an earlier drop named: that was killed when it was nearly done, or it is said twice.
    """
    uri = corpus.uri
    part = Part(dataset=dataset, name=wanted, uri="", num_bytes=0, fingerprint="")
    later = list(takewhile(there.__contains__, map(part.id_of, count(1))))
    if named := [part_id for part_id in (part.part_id, *later) if part_id in there]:
        return named
    parts = sorted(part_id for part_id in there if part_id.startswith(wanted))
    if not parts and wanted in _dropped_before(corpus, dataset):
        return []
    if not parts:
        raise DataEngineError(
            f"{uri}: no part '{wanted}' of {dataset}, neither by its name nor by its id; column part_id of "
            f"episodes.lance and `villa corpus rejects {uri}` have the ids"
        )
    return [only(parts, f"{uri}: {len(parts)} parts of {dataset} start with '{wanted}'")]


def _dropped_before(corpus: "Corpus", dataset: str) -> set[str]:
    """List the parts of a dataset that earlier commands named."""
    runs = corpus.runs().select(["command", "config"]).to_pylist()
    configs = [json.loads(run["config"]) for run in runs if run["command"] == "drop"]
    return {part for config in configs if config.get("dataset") == dataset for part in config.get("parts", ())}


def _report(corpus: "Corpus", selection: "Selection", config: DropConfig) -> DropReport:
    """Count, and tell what dropping brings with it."""
    from dataengine.store.upkeep.drop import held

    holdings = held(corpus, selection)
    report = DropReport(
        corpus=corpus.uri,
        dataset=selection.dataset,
        named=config.parts,
        episodes=holdings.episodes,
        steps=holdings.steps,
        bytes=holdings.num_bytes,
        parts=holdings.parts,
        rejects=holdings.rejects,
        staged_parts=holdings.staged,
        statistics=holdings.statistics,
        labels=list(holdings.labels),
        snapshots=[each.name for each in corpus.snapshots() if selection.dataset in each.datasets],
        version=corpus.version,
        dry_run=config.dry_run,
    )
    report.notes = list(_notes(report, corpus, robots=holdings.robots))
    return report


def _notes(report: DropReport, corpus: "Corpus", *, robots: int) -> Iterator[str]:
    yield "`villa ingest` reads it anew, with whatever settings it is given then"
    if report.episodes and report.snapshots:
        yield f"snapshots {', '.join(report.snapshots)} hold them and read as before, so their files stay"
    elif report.episodes:
        free = f"`villa corpus compact {report.corpus} --older-than 7d`"
        yield f"version {report.version} of episodes.lance holds them, so their files stay until {free} removes it"
    if robots and corpus.stats() is not None:
        yield f"run `villa stats {report.corpus}` before you train"
    if report.episodes and corpus.is_curated:
        yield f"rules that compare episodes saw these, too: run `villa curate {report.corpus}` again"
