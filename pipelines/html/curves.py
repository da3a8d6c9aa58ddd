"""Curves of a training, from its file of metrics to lines of a chart."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.html import charts

MAX_POINTS = 240
SMOOTHING = 0.9
"""Share of the running mean that a new point keeps."""


def read(file: Path) -> list[dict[str, Any]]:
    """Read a metrics file; a line cut off by a kill, or damaged by the disk, is left out."""
    records = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return sorted(records, key=lambda record: record["step"])


def points(records: Iterable[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Give steps and values of a figure, where it was logged."""
    return [(float(r["step"]), float(r[key])) for r in records if isinstance(r.get(key), int | float)]


def smooth(name: str, points: Sequence[tuple[float, float]]) -> charts.Series:
    """Take a running mean and thin it out, so that a noisy curve can be read."""
    mean, weight, smooth = 0.0, 0.0, []
    for _, y in points:
        mean, weight = SMOOTHING * mean + (1 - SMOOTHING) * y, SMOOTHING * weight + 1 - SMOOTHING
        smooth.append(mean / weight)
    every = max(len(points) // MAX_POINTS, 1)
    return charts.Series(name, [x for x, _ in points][::every], smooth[::every])
