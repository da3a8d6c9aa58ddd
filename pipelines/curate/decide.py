"""Applies rules to measured columns: first those for single episodes, then those that compare, then those that trim."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.camera_names import camera_title
from dataengine.curation.coverage import CHECKED, Seen, unchecked
from dataengine.curation.stage import Rejects, Stage, Surveys, Trims
from dataengine.schema import KEEP, QUALITY, TRIMS
from dataengine.store import Corpus
from dataengine.vector_layout import VectorLayout
from pipelines.curate.coverage import RuleCoverage, alike
from pipelines.curate.measure import ERROR

PLAIN = ("episode_id", "dataset", "embodiment", "kind", "split")
VECTORS = ("state", "action")


@dataclass
class Verdicts:
    """What becomes of every episode, in the order of the table."""

    table: pa.Table
    """Ids, datasets, kinds, and every measured number."""
    fragments: list[tuple[int, int]]
    """Id and number of rows of each fragment, in order."""
    rule: list[str] = field(default_factory=list)
    """The rule that objects; empty where none does, and for episodes that could not be measured."""
    reason: list[str] = field(default_factory=list)
    """Why the episode goes, with its rule; empty where it stays."""
    coverage: dict[str, RuleCoverage] = field(default_factory=dict)
    """Which episodes each rule checked, and why not the others."""
    compared: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Numbers that surveys found, by name; NaN for episodes that they did not check."""
    learnt: dict[str, Any] = field(default_factory=dict)
    """Limits that surveys learnt of the corpus, by rule."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """What surveys have to say beside their objections, by rule."""
    trimmed: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    """(e, 2) steps left out at the head and at the tail."""
    trims: bool = False
    """Whether any rule trims."""

    @cached_property
    def texts(self) -> dict[str, list[str]]:
        """Ids, datasets, embodiments, kinds and splits."""
        return {name: self.table[name].to_pylist() for name in PLAIN}

    @cached_property
    def encodings(self) -> tuple[pa.Array, pa.Array]:
        """(e,) of states, and of actions; NULL where there is none."""
        columns = (
            pc.if_else(pc.greater(self.table[f"{name}_dim"], 0), self.table[f"{name}_encoding"].fill_null("none"), None)
            for name in VECTORS
        )
        state, action = (column.combine_chunks() for column in columns)
        return state, action

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(e,) one measured or compared number."""
        return self.compared[name] if name in self.compared else self.table[f"{QUALITY}{name}"].to_numpy()

    def pieces(self) -> Iterator[tuple[int, slice]]:
        """Give the rows of each fragment."""
        start = 0
        for fragment_id, rows in self.fragments:
            yield fragment_id, slice(start, start + rows)
            start += rows


def check(corpus: Corpus, rules: Mapping[str, Stage]) -> Verdicts:
    """Check every episode by its columns; nothing is written."""
    floats = [f"{QUALITY}{name}" for stage in rules.values() for name in stage.columns]
    names = [*PLAIN, *(f"{name}_{what}" for name in VECTORS for what in ("dim", "encoding")), *floats, ERROR]
    tables = {i: corpus.fragment_table(i, names) for i in corpus.fragment_ids()}
    table = pa.concat_tables(tables.values()) if tables else corpus.table(names)
    verdicts = Verdicts(table, [(i, len(table)) for i, table in tables.items()])
    episodes = len(verdicts.table)
    verdicts.rule, verdicts.reason = [""] * episodes, [""] * episodes
    for rule, stage in rules.items():
        verdicts.coverage[rule] = RuleCoverage.of_none(episodes)
        if isinstance(stage, Rejects):
            _reject(verdicts, rule, stage)
    _unreadable(verdicts)
    for rule, stage in rules.items():
        if isinstance(stage, Surveys):
            _survey(verdicts, rule, stage, corpus)
    verdicts.trimmed = np.zeros((episodes, 2), np.int32)
    for rule, stage in rules.items():
        if isinstance(stage, Trims):
            verdicts.trims = True
            _trim(verdicts, rule, stage)
    return verdicts


def write(corpus: Corpus, verdicts: Verdicts) -> int:
    """Write decisions into the fragments in which something changes, and return how many those are."""
    trims = verdicts.trims or TRIMS[0] in corpus.schema.names
    types = {KEEP: pa.bool_(), "reject_reason": pa.string(), **dict.fromkeys(TRIMS if trims else (), pa.int32())}
    corpus.ensure_columns(pa.schema(list(types.items())))
    changed = 0
    for fragment_id, rows in verdicts.pieces():
        reasons = verdicts.reason[rows]
        columns = {KEEP: [not reason for reason in reasons], "reject_reason": reasons}
        if trims:
            columns |= dict(zip(TRIMS, verdicts.trimmed[rows].T, strict=True))
        new = pa.table({name: pa.array(columns[name], type=kind) for name, kind in types.items()})
        old = corpus.fragment_table(fragment_id, list(types))
        if any(not old[name].combine_chunks().equals(new[name].combine_chunks()) for name in types):
            changed += 1
            corpus.update_fragment(fragment_id, new.append_column("_rowid", verdicts.table["_rowid"][rows]))
    return changed


def seen_of(verdicts: Verdicts, stage: Stage, row: int) -> Seen:
    """Say what is known of an episode."""
    numbers = quality_of(verdicts, stage, row)
    state, action = (vector[row].as_py() or "" for vector in verdicts.encodings)
    return Seen(frozenset(name for name, value in numbers.items() if not np.isnan(value)), state, action)


def quality_of(verdicts: Verdicts, stage: Stage, row: int) -> dict[str, float]:
    """Give what a stage measured of one episode."""
    return {name: float(verdicts.table[f"{QUALITY}{name}"][row].as_py()) for name in stage.columns}


def _reject(verdicts: Verdicts, rule: str, stage: Rejects) -> None:
    """Ask about every episode that no rule before objects to."""
    rows = _kept(verdicts, stage)
    _cover(verdicts, rule, stage, rows)
    columns = [verdicts.numbers(name)[rows].tolist() for name in stage.columns]
    for row, *numbers in zip(rows.tolist(), *columns, strict=True):
        reason = stage.reject(dict(zip(stage.columns, numbers, strict=True)))
        if reason:
            verdicts.rule[row], verdicts.reason[row] = rule, f"{rule}: {reason}"


def _cover(verdicts: Verdicts, rule: str, stage: Rejects | Trims, rows: NDArray[np.int64]) -> None:
    """Note of which of these episodes enough is known."""
    state, action = (vector.take(pa.array(rows)) for vector in verdicts.encodings)
    for seen, some in alike({name: verdicts.numbers(name)[rows] for name in stage.columns}, state, action):
        coverage = stage.coverage(seen)
        if coverage is not None:  # else the survey says
            verdicts.coverage[rule].put(rows[some], coverage)


def _unreadable(verdicts: Verdicts) -> None:
    """Drop what could not be measured, and say of no rule that it lacks what could not be read."""
    errors = verdicts.table[ERROR].to_pylist()
    for row, error in enumerate(errors):
        if error and not verdicts.reason[row]:
            verdicts.reason[row] = f"could not be measured: {error}"
    for coverage in verdicts.coverage.values():
        coverage.put([row for row in coverage.unchecked().tolist() if errors[row]], unchecked("could not be measured"))


def _survey(verdicts: Verdicts, rule: str, stage: Surveys, corpus: Corpus) -> None:
    """Compare the episodes that are still kept."""
    rows = _kept(verdicts, stage)
    kept = rows.tolist()
    coverage = verdicts.coverage[rule]
    coverage.put([row for row in kept if coverage.of(row) is None], CHECKED)
    survey = stage.survey(KeptEpisodes(corpus, verdicts, rows))
    coverage.put_each({kept[row]: said for row, said in survey.coverage.items()})
    for name, values in survey.numbers.items():
        verdicts.compared[name] = np.full(len(verdicts.reason), np.nan)
        verdicts.compared[name][kept] = values
    for row, reason in survey.objections.items():
        verdicts.rule[kept[row]], verdicts.reason[kept[row]] = rule, f"{rule}: {reason}"
    verdicts.notes[rule] = list(survey.notes)
    if survey.limits:
        verdicts.learnt[rule] = dict(survey.limits)


def _trim(verdicts: Verdicts, rule: str, stage: Trims) -> None:
    """Ask for the ends of the episodes that stay."""
    rows = _kept(verdicts, stage)
    _cover(verdicts, rule, stage, rows)
    columns = [verdicts.numbers(name)[rows].tolist() for name in stage.columns]
    for row, *numbers in zip(rows.tolist(), *columns, strict=True):
        ends = stage.trim(dict(zip(stage.columns, numbers, strict=True)))
        verdicts.trimmed[row] = np.maximum(verdicts.trimmed[row], ends)


def _kept(verdicts: Verdicts, stage: Stage) -> NDArray[np.int64]:
    """Rows of a stage's kinds that nothing has dropped yet."""
    kinds = verdicts.texts["kind"]
    return np.array([row for row, why in enumerate(verdicts.reason) if not why and kinds[row] in stage.kinds], np.int64)


class KeptEpisodes:
    """The columns of the episodes that a survey checks, read when they are asked for, fragment by fragment."""

    def __init__(self, corpus: Corpus, verdicts: Verdicts, rows: NDArray[np.int64]) -> None:
        self._corpus, self._verdicts, self._rows = corpus, verdicts, rows
        self.episode_ids, self.datasets, self.embodiments, self.splits = (
            [verdicts.texts[name][row] for row in rows] for name in ("episode_id", "dataset", "embodiment", "split")
        )

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str, rows: NDArray[np.int64] | None = None) -> pa.Array:
        """Read a measured column of all of them or, in this order, of some; numbers are here already."""
        if f"{QUALITY}{name}" in self._verdicts.table.column_names:
            wanted = self._rows if rows is None else self._rows[rows]
            return self._verdicts.table[f"{QUALITY}{name}"].take(pa.array(wanted)).combine_chunks()
        wanted = self._rows if rows is None else self._rows[rows]
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        pieces: list[pa.Array] = []
        kind = self._corpus.schema.field(f"{QUALITY}{name}").type
        for fragment_id, piece in self._verdicts.pieces():
            low, high = np.searchsorted(ordered, [piece.start, piece.stop])
            if high > low:
                column = self._corpus.fragment_table(fragment_id, [f"{QUALITY}{name}"])[f"{QUALITY}{name}"]
                taken = column.take(pa.array(ordered[low:high] - piece.start)).combine_chunks()
                pieces += taken.chunks if isinstance(taken, pa.ChunkedArray) else [taken]
        values = pa.concat_arrays(pieces) if pieces else pa.array([], kind)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return values if (back == np.arange(len(back))).all() else values.take(pa.array(back))

    def layout(self, row: int, vector: str) -> VectorLayout:
        """Say what the values of one episode's `state` or `action` are."""
        return self._corpus.episode(self.episode_ids[row]).layout(vector)

    def camera(self, row: int, slot: str) -> str:
        """Name a camera of one episode as its publisher does, with its slot where that is another word."""
        return camera_title(slot, self._corpus.episode(self.episode_ids[row]).notes)
