"""The demo's data stages: record, ingest, curate, stats."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from dataengine.machine import num_cores
from pipelines.demo.children import run_all
from pipelines.demo.layout import DemoRun
from pipelines.demo.summary import (
    Curation,
    DemoSummary,
    EmbodimentStats,
    Ingested,
    Recorded,
    RejectedRecord,
    RuleOutcome,
)

PACKAGES = ("torch", "ray", "pylance", "pyarrow", "mujoco", "metaworld", "robosuite", "tensorflow-datasets", "numpy")


def record(demo: DemoRun, summary: DemoSummary) -> None:
    """Let scripted experts play, and write what they did in publishers' layouts."""
    from pipelines.evaluation.recording.record import record as record_all

    summary.recorded = [Recorded(**asdict(row)) for row in record_all(demo.out / "raw", demo.scale.name)]


def ingest(demo: DemoRun, summary: DemoSummary) -> None:
    """Read every raw dataset into one corpus, then ask the corpus what it holds."""
    with _engine(demo) as settings:
        summary.ingest = [_ingest(demo, raw, settings) for raw in summary.recorded]
    _describe(demo, summary)


@contextmanager
def _engine(demo: DemoRun) -> Iterator[tuple[str, ...]]:
    """Start one Ray cluster for all the ingests to join: each of its own would cost ten seconds more."""
    if demo.engine == "local":
        yield ()
        return
    from dataengine.runners.ray import local_cluster

    with local_cluster() as address:
        yield (f"ray_address={address}",)


def _ingest(demo: DemoRun, raw: Recorded, settings: tuple[str, ...]) -> Ingested:
    """Read one raw dataset."""
    argv = ("ingest", raw.source, raw.root, "--corpus", demo.corpus, "--engine", demo.engine)
    (report,) = run_all([demo.command(f"ingest_{raw.source.replace('/', '_')}", *argv, settings=settings)])
    keys = ("planned_parts", "committed_parts", "skipped_parts", "rejected_records", "episodes", "steps", "seconds")
    return Ingested(source=raw.source, **{key: report[key] for key in keys})


def _describe(demo: DemoRun, summary: DemoSummary) -> None:
    """Fill in what the corpus says of each dataset: embodiments, rates, bytes, rejects."""
    from dataengine import catalog
    from dataengine.store import Corpus

    corpus = Corpus.open(str(demo.corpus))
    (info,) = run_all([demo.command("corpus_info", "corpus", "info", demo.corpus)])
    num_bytes = {d["name"]: d["bytes"] for d in info["datasets"]}
    for row in summary.ingest:
        source = catalog.source(row.source)
        row.kind, row.embodiment, row.control_hz = source.kind, source.embodiment, source.control_hz
        row.num_bytes = num_bytes.get(row.source, 0)
    summary.rejects = [
        RejectedRecord(source=r["dataset"], record=r["record"] or r["source_uri"], reason=r["reason"])
        for r in corpus.rejects().to_pylist()
    ]


def curate(demo: DemoRun, summary: DemoSummary) -> None:
    """Check every episode by the default recipe."""
    from pipelines.curate.report import RuleFacts

    (report,) = run_all([demo.command("curate", "curate", demo.corpus, threads=2)])
    rules = [RuleFacts.model_validate(rule) for rule in report["rules"]]
    keys = {"rule", "checked", "not_checked", "dropped", "example"}
    summary.curation = Curation(
        episodes=report["episodes"],
        kept=report["kept"],
        rules=[RuleOutcome(**rule.model_dump(include=keys), notes=rule.lines()) for rule in rules],
    )


def stats(demo: DemoRun, summary: DemoSummary) -> None:
    """Measure states and actions of what was kept."""
    (report,) = run_all([demo.command("stats", "stats", demo.corpus)])
    keys = ("embodiment", "episodes", "steps", "state_dim", "action_dim")
    summary.stats = [EmbodimentStats(**{key: row[key] for key in keys}) for row in report["embodiments"]]


def versions() -> dict[str, str]:
    """Name the versions of what the demo runs on."""
    by_package = {"python": platform.python_version(), "villa-engine": importlib.metadata.version("villa-engine")}
    for package in PACKAGES:
        try:
            by_package[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return by_package


def machine() -> str:
    """Describe the machine in a few words."""
    parts: list[Any] = [f"{num_cores()} processors", _processor(), _memory(), platform.system()]
    return ", ".join(str(part) for part in parts if part)


def _processor() -> str:
    """Name the processor, where the system tells."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  (a file of the kernel, read line by line)
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    """Give the memory in GB."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return f"{pages * size / 1e9:.0f} GB"
