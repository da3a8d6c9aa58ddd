"""What the demo's data stages report: record, ingest, curate, stats."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataengine.machine import num_cores
from pipelines.demo.summary import (
    Curation,
    DemoSummary,
    EmbodimentStats,
    Ingested,
    Recorded,
    RejectedRecord,
    RuleOutcome,
)

Reports = Mapping[str, Mapping[str, Any]]
"""What each stage reports, by its name."""

PACKAGES = ("torch", "ray", "pylance", "pyarrow", "mujoco", "metaworld", "robosuite", "tensorflow-datasets", "numpy")


def record(reports: Reports, summary: DemoSummary) -> None:
    """Say what was recorded."""
    summary.recorded = [Recorded(**row) for row in reports["record"]["recorded"]]


def ingest(reports: Reports, summary: DemoSummary) -> None:
    """Say what came in, and what the corpus holds of each dataset: embodiments, rates, bytes, rejects."""
    summary.ingest = [
        _ingested(raw.source, reports[f"ingest_{raw.source.rpartition('/')[2]}"]) for raw in summary.recorded
    ]
    _describe(Path(summary.out) / "corpus", summary)


def _ingested(source: str, report: Mapping[str, Any]) -> Ingested:
    keys = ("planned_parts", "committed_parts", "skipped_parts", "rejected_records", "episodes", "steps", "seconds")
    return Ingested(source=source, **{key: report[key] for key in keys})


def _describe(uri: Path, summary: DemoSummary) -> None:
    """Fill in what the corpus says of each dataset."""
    from dataengine import catalog
    from dataengine.store import Corpus
    from pipelines.corpus import health

    num_bytes = {facts.name: facts.bytes for facts in health.info(health.CorpusConfig(corpus=str(uri))).datasets}
    for row in summary.ingest:
        source = catalog.source(row.source)
        row.kind, row.embodiment, row.control_hz = source.kind, source.embodiment, source.control_hz
        row.num_bytes = num_bytes.get(row.source, 0)
    summary.rejects = [
        RejectedRecord(source=r["dataset"], record=r["record"] or r["source_uri"], reason=r["reason"])
        for r in Corpus.open(str(uri)).rejects().to_pylist()
    ]


def curate(reports: Reports, summary: DemoSummary) -> None:
    """Say what the default recipe kept of the episodes."""
    from pipelines.curate.report import RuleFacts

    report = reports["curate"]
    rules = [RuleFacts.model_validate(rule) for rule in report["rules"]]
    keys = {"rule", "checked", "not_checked", "dropped", "example"}
    summary.curation = Curation(
        episodes=report["episodes"],
        kept=report["kept"],
        rules=[RuleOutcome(**rule.model_dump(include=keys), notes=rule.lines()) for rule in rules],
    )


def stats(reports: Reports, summary: DemoSummary) -> None:
    """Say how much was kept of each embodiment."""
    keys = ("embodiment", "episodes", "steps", "state_dim", "action_dim")
    summary.stats = [EmbodimentStats(**{key: row[key] for key in keys}) for row in reports["stats"]["embodiments"]]


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
