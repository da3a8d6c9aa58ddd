"""Which LeRobot datasets a corpus becomes, and what lies in which of their files: known before anything is written."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from dataengine.digest import hasher, stable_id
from dataengine.episode import CAMERA_SLOTS, Text, phrases_of
from dataengine.export.lerobot.names import Names
from dataengine.schema import CANONICAL, RAW, TRIMS, VECTORS, exact_dims_column
from dataengine.texts import cut, from_row, narrowest
from dataengine.vector_layout import VectorLayout, layout_of

BYTES_PER_PIXEL = 0.1
"""Of a video frame, generously: AV1 with a key frame in two took 0.12 of noise and a third of that of real scenes."""
ROW_BYTES = 60
"""Of a step beside its vectors."""
FILES_PER_CHUNK = 1000
MB = 1_000_000
SAME_RATE = 0.01
"""Rates within this share of one that was asked for count as that."""


@dataclass(frozen=True)
class Layout:
    """What all episodes of one LeRobot dataset have in common."""

    embodiment: str
    kind: str
    rate: Fraction
    """Frames in a second."""
    cameras: Mapping[str, tuple[int, int]]
    """Slot to height and width."""
    dims: Mapping[str, int]
    """Widths of the vectors that there are."""
    vectors: Mapping[str, VectorLayout]
    """What the values of the canonical ones are."""
    names: Names
    """What publishers call the robot, its cameras and values; tells no layouts apart."""
    exact: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Values of raw vectors that are whole numbers which float64 rounds in some episode; tells no layouts apart."""

    @property
    def key(self) -> tuple[Any, ...]:
        """Tell layouts apart."""
        return (
            *(self.embodiment, self.kind, self.rate, tuple(self.cameras.items()), tuple(self.dims.items())),
            tuple(self.vectors.items()),
        )


@dataclass(frozen=True)
class Planned:
    """One episode and its place in the dataset."""

    episode_id: str
    index: int
    first_row: int
    num_steps: int
    texts: tuple[Text, ...]
    tasks: Mapping[str, int]
    """Every phrase of the texts, and an empty one where there are steps without, to its task_index."""
    first_step: int | None = None
    """Which step of the recording it begins with; None in a dataset of whole recordings."""
    steps_left_out: int = 0
    """At both of its ends, by curation."""

    @property
    def steps(self) -> slice:
        """Those of the recording."""
        first = self.first_step or 0
        return slice(first, first + self.num_steps)


@dataclass(frozen=True)
class DatasetPlan:
    """One dataset: its files, each a run of episodes with one mp4 for each camera."""

    name: str
    """Of its folder."""
    layout: Layout
    tasks: tuple[str, ...]
    """Texts by task_index."""
    splits: Mapping[str, str]
    units: Sequence[Sequence[Planned]]
    digest: str
    """Of the episodes and the files that they lie in."""

    @property
    def num_episodes(self) -> int:
        """Episodes of all files."""
        return sum(map(len, self.units))

    @property
    def num_steps(self) -> int:
        """Steps of all files."""
        return sum(episode.num_steps for unit in self.units for episode in unit)

    @property
    def steps_left_out(self) -> int:
        """Steps that curation trimmed off its episodes."""
        return sum(episode.steps_left_out for unit in self.units for episode in unit)

    def fingerprint(self, *settings: object) -> str:
        """Hash all that shapes the result."""
        return stable_id(self.digest, *map(str, settings))


@dataclass(frozen=True)
class _Row:
    """What is kept of an episode while planning."""

    split: str
    dataset: str
    record: str
    episode_id: str
    first_step: int
    num_steps: int
    steps_left_out: int
    fingerprint: str
    texts: tuple[Text, ...]

    @property
    def rank(self) -> tuple[Any, ...]:
        """Order of the dataset. LeRobot has splits as ranges, so that they stay together; `train` comes first."""
        pieces = re.split(r"(\d+)", self.record)
        counted = tuple(int(piece) if i % 2 else piece for i, piece in enumerate(pieces))  # 2 before 10
        return (self.split != "train", self.split, self.dataset, counted, self.episode_id)


COLUMNS = (
    *("episode_id", "dataset", "embodiment", "kind", "control_hz", "num_steps", "instruction", "texts", "split"),
    *("source_record", "source_fingerprint", "state_encoding", "action_encoding", "notes"),
    *(f"{name}_dim" for name in VECTORS),
    *(exact_dims_column(name) for name in RAW),
    *(f"{side}_{slot}" for slot in CAMERA_SLOTS for side in ("height", "width")),
)
"""What planning reads of every episode; an older corpus has neither `texts` nor exact values."""


def plan(
    rows: Iterable[Mapping[str, Any]], *, rate_hz: float | None, video_mb: float, data_mb: float
) -> tuple[list[DatasetPlan], int]:
    """Group episodes by layout, and cut each group into files; also count those of another rate, which are left out.

    Of rows that have the columns `trim_start` and `trim_end` only the steps between them are taken. Equal rows in any
    order give equal plans.
    """
    left_out = 0
    groups: dict[tuple[Any, ...], list[_Row]] = defaultdict(list)
    layouts: dict[tuple[Any, ...], Layout] = {}
    for row in rows:
        if rate_hz is not None and abs(row["control_hz"] / rate_hz - 1) > SAME_RATE:
            left_out += 1
            continue
        layout = _layout(row, rate_hz)
        known = layouts.get(layout.key, layout)
        layouts[layout.key] = _with_exact(replace(known, names=known.names.agreed(layout.names)), row)
        groups[layout.key].append(_row(row))
    names = _names([layouts[key] for key in sorted(layouts, key=repr)])
    datasets = [_dataset(names[key], layouts[key], groups[key], video_mb, data_mb) for key in layouts]
    return sorted(datasets, key=lambda dataset: dataset.name), left_out


def chunk_and_file(unit: int) -> str:
    """Name a unit's file below `data`, `meta/episodes` and each camera's folder, without its suffix."""
    chunk, file = divmod(unit, FILES_PER_CHUNK)
    return f"chunk-{chunk:03d}/file-{file:03d}"


def _layout(row: Mapping[str, Any], rate_hz: float | None) -> Layout:
    cameras = {
        slot: (int(row[f"height_{slot}"]), int(row[f"width_{slot}"]))
        for slot in CAMERA_SLOTS
        if row[f"height_{slot}"] is not None
    }
    vectors = {
        name: layout_of(
            name,
            row[f"{name}_encoding"],
            row[f"{name}_dim"] or 0,
            row["notes"],
            dataset=row["dataset"],
            embodiment=row["embodiment"],
        )
        for name in CANONICAL
    }
    return Layout(
        embodiment=row["embodiment"],
        kind=row["kind"],
        rate=_rate(rate_hz or row["control_hz"]),
        cameras=cameras,
        dims={name: row[f"{name}_dim"] for name in VECTORS if row[f"{name}_dim"]},
        vectors=vectors,
        names=Names.of(row["notes"], cameras, vectors),
    )


def _rate(rate_hz: float) -> Fraction:
    """Find the plain fraction nearest to a rate, as video has it: 30000 / 1001; of a slow one that of its period."""
    if rate_hz < 1:
        return 1 / Fraction(1 / rate_hz).limit_denominator(1001)
    return Fraction(rate_hz).limit_denominator(1001)


def _with_exact(layout: Layout, row: Mapping[str, Any]) -> Layout:
    """Add what an episode has of whole numbers that float64 rounds."""
    new = {name: row.get(exact_dims_column(name)) or [] for name in RAW}
    if not any(set(dims) - {*layout.exact.get(name, ())} for name, dims in new.items()):
        return layout
    exact = {name: tuple(sorted({*dims, *layout.exact.get(name, ())})) for name, dims in new.items()}
    return replace(layout, exact={name: dims for name, dims in exact.items() if dims})


def _names(layouts: Sequence[Layout]) -> dict[tuple[Any, ...], str]:
    """Name folders after embodiment and rate; where that is not enough, also after what else differs."""
    further: list[Callable[[Layout], str]] = [
        lambda layout: "_".join(layout.cameras) or "no_camera",
        lambda layout: "_".join(f"{height}x{width}" for height, width in layout.cameras.values()),
        lambda layout: "_".join(f"{name}{dim}" for name, dim in layout.dims.items()) or "no_vectors",
        lambda layout: "_".join([*(vector.encoding for vector in layout.vectors.values()), layout.kind]),
    ]
    names = {layout.key: _plain(f"{layout.embodiment}_{float(layout.rate):.6g}hz") for layout in layouts}
    for word in further:
        taken = list(names.values())
        for layout in layouts:
            if taken.count(names[layout.key]) > 1:
                names[layout.key] = _plain(f"{names[layout.key]}_{word(layout)}")
    seen: Counter[str] = Counter()
    for key, name in names.items():
        seen[name] += 1
        if seen[name] > 1:
            names[key] = f"{name}_{seen[name]}"
    return names


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)


def _row(row: Mapping[str, Any]) -> _Row:
    head, tail = (row.get(trim) or 0 for trim in TRIMS)
    num_steps = row["num_steps"] - head - tail
    said = from_row(row.get("texts"), row["instruction"], row["num_steps"])
    return _Row(
        split=row["split"],
        dataset=row["dataset"],
        record=row["source_record"],
        episode_id=row["episode_id"],
        first_step=head,
        num_steps=num_steps,
        steps_left_out=head + tail,
        fingerprint=row["source_fingerprint"],
        texts=cut(said, head, head + num_steps) if head or tail else said,
    )


def _said(row: _Row) -> tuple[str, ...]:
    """List every phrase of an episode, and an empty one where there are steps without."""
    is_whole = any(text.end - text.start == row.num_steps for text in row.texts)
    has_gaps = not is_whole and "" in narrowest(row.texts, row.num_steps)
    return (*phrases_of(row.texts), *([""] if has_gaps else []))


def _dataset(name: str, layout: Layout, rows: list[_Row], video_mb: float, data_mb: float) -> DatasetPlan:
    largest = max((height * width for height, width in layout.cameras.values()), default=0)
    row_bytes = ROW_BYTES + sum(dim * (8 if name in RAW else 4) for name, dim in layout.dims.items())
    limit_steps = min(video_mb * MB / max(largest * BYTES_PER_PIXEL, 1e-9), data_mb * MB / row_bytes)
    tasks: dict[str, int] = {}
    splits: dict[str, tuple[int, int]] = {}
    units: list[list[Planned]] = []
    is_cut = any(row.steps_left_out for row in rows)
    digest = hasher(repr((layout.key, layout.names)))
    first_row = steps = 0
    for index, row in enumerate(sorted(rows, key=lambda row: row.rank)):
        said = _said(row)
        for text in said:
            tasks.setdefault(text, len(tasks))
        if not units or steps + row.num_steps > limit_steps:
            units.append([])
            steps = 0
        own = {text: tasks[text] for text in said}
        first_step = row.first_step if is_cut else None
        planned = Planned(row.episode_id, index, first_row, row.num_steps, row.texts, own, first_step)
        units[-1].append(replace(planned, steps_left_out=row.steps_left_out))
        steps += row.num_steps
        first_row += row.num_steps
        splits[row.split] = (splits.get(row.split, (index, 0))[0], index + 1)
        begins = f"from {row.first_step} " if is_cut else ""
        digest.update(f"{len(units)} {row.episode_id} {begins}{row.num_steps} {row.fingerprint} {row.texts}\n".encode())
    return DatasetPlan(
        name=name,
        layout=layout,
        tasks=tuple(tasks),
        splits={split: f"{first}:{stop}" for split, (first, stop) in splits.items()},
        units=units,
        digest=digest.hexdigest(),
    )
