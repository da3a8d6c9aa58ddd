"""Losses on held-out windows by dataset and embodiment, as a run wrote them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from dataengine.report import Report
from pipelines.training import by_group
from pipelines.training.by_group import KINDS, WINDOWS
from pipelines.training.loggers.logger import VAL

__all__ = ["WINDOWS", "HeldOut", "parsed", "read", "tables"]


class HeldOut(Report):
    """How a dataset or an embodiment fares on held-out windows."""

    kind: str
    """`dataset` or `embodiment`."""
    name: str
    windows: int
    """That were looked at."""
    step: int
    """Of the last look."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Of the last look: `loss` and its parts."""
    lowest_loss: float | None = None
    lowest_step: int | None = None


def parsed(name: str) -> tuple[str, str, str] | None:
    """Give kind, group and figure of a name in metrics.jsonl; None of what is of no group."""
    return by_group.parsed(name.removeprefix(VAL)) if name.startswith(VAL) else None


def read(entries: Sequence[Mapping[str, Any]], lowest_from: int = 0) -> list[HeldOut]:
    """Read the last look of every group, and its lowest loss since a step."""
    looks: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    for entry in entries:
        for name, value in entry.items():
            split = parsed(name)
            if split is not None and isinstance(value, int | float):
                kind, group, figure = split
                looks.setdefault((kind, group), {}).setdefault(entry["step"], {})[figure] = value
    return [_held_out(kind, group, by_step, lowest_from) for (kind, group), by_step in sorted(looks.items())]


def _held_out(kind: str, name: str, by_step: Mapping[int, Mapping[str, float]], lowest_from: int) -> HeldOut:
    last = max(by_step)
    losses = {step: figures.get("loss", math.nan) for step, figures in by_step.items() if step >= lowest_from}
    lowest = min((step for step in losses if math.isfinite(losses[step])), key=lambda step: losses[step], default=None)
    return HeldOut(
        kind=kind,
        name=name,
        windows=int(by_step[last].get(WINDOWS, 0)),
        step=last,
        figures={figure: value for figure, value in by_step[last].items() if figure != WINDOWS},
        lowest_loss=None if lowest is None else losses[lowest],
        lowest_step=lowest,
    )


def tables(rows: Sequence[HeldOut]) -> dict[str, tuple[list[str], list[list[object]]]]:
    """Make a table of each kind of group: what heads it, and a row for each group."""
    made: dict[str, tuple[list[str], list[list[object]]]] = {}
    for kind in KINDS:
        mine = [one for one in rows if one.kind == kind]
        names = sorted({name for one in mine for name in one.figures}, key=lambda name: (name != "loss", name))
        if mine:
            made[kind] = ([kind, "windows", *names, "lowest loss"], [_cells(one, names) for one in mine])
    return made


def _cells(one: HeldOut, names: Sequence[str]) -> list[object]:
    figures = [f"{one.figures[name]:.5g}" if name in one.figures else "" for name in names]
    lowest = "" if one.lowest_loss is None else f"{one.lowest_loss:.5g} at {one.lowest_step}"
    return [one.name, one.windows, *figures, lowest]
