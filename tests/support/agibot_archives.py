"""Five episodes of AgiBot World in archives as they are published, and what is read of them."""

import shutil
from pathlib import Path

from dataengine import catalog
from dataengine.episode import Episode, Part, Reject
from tests.support.agibot_tree import (
    pack,
)

EPISODES = {"327": ["648642", "648700", "650001"], "400": ["648650", "651000"]}


RANGES = {"327": [(648642, 648700), (650001, 650001)], "400": [(648650, 651000)]}


NUMBERS = [(648642, 648690), (648700, 651000)]


def parts(root: Path) -> dict[str, Part]:
    return {part.name: part for part in catalog.source("agibot")(str(root)).parts()}


def read(root: Path, *only: str) -> list[Episode | Reject]:
    source = catalog.source("agibot")(str(root), frame_size=64)
    return [outcome for part in source.parts() if not only or part.name in only for outcome in source.read(part)]


def by_record(outcomes: list[Episode | Reject]) -> dict[str, Episode | Reject]:
    records = {f.source_record if isinstance(f, Episode) else f.record: f for f in outcomes}
    assert len(records) == len(outcomes)
    return records


def repacked(extracted: Path, ranges: dict[str, list[tuple[int, int]]] | None = None) -> Path:
    target = extracted.parent / "repacked"
    shutil.rmtree(target, ignore_errors=True)
    return pack(extracted, target, ranges or RANGES, NUMBERS)
