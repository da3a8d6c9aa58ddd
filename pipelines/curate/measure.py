"""Fills the `quality__*` columns: numbers for a whole fragment at once, pictures episode by episode in threads."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.episode_rows import NUMBER_COLUMNS, EpisodeRows, rows_of
from dataengine.curation.stage import MeasuresNumbers, MeasuresPictures, Stage, Surveys
from dataengine.errors import DataEngineError
from dataengine.machine import num_cores
from dataengine.progress import task
from dataengine.schema import QUALITY
from dataengine.store import Corpus
from pipelines.curate.episodes import film_columns, open_film

ERROR = f"{QUALITY}error"
"""Column that says why an episode could not be measured; empty where it could, NULL where nobody tried."""


def schema_of(stage: Stage) -> dict[str, pa.DataType]:
    """Name the columns of a stage, without their prefix, and their types."""
    lists = dict(stage.signatures) if isinstance(stage, Surveys) else {}
    return {**dict.fromkeys(stage.columns, pa.float64()), **lists}


def quality_columns(rules: Mapping[str, Stage]) -> list[str]:
    """Name the columns of all rules as they stand in the table."""
    return [f"{QUALITY}{name}" for stage in rules.values() for name in schema_of(stage)]


def measure(corpus: Corpus, rules: Mapping[str, Stage], workers: int = 0) -> int:
    """Fill the columns where they are NULL, fragment by fragment, and return the number of episodes that were read."""
    types = {f"{QUALITY}{n}": kind for stage in rules.values() for n, kind in schema_of(stage).items()}
    corpus.ensure_columns(pa.schema([*types.items(), (ERROR, pa.string())]))
    missing = {}
    for fragment_id in corpus.fragment_ids():
        unmeasured = _missing(corpus.fragment_table(fragment_id, list(types)), rules)
        if any(len(rows) for rows in unmeasured.values()):
            missing[fragment_id] = unmeasured
    pictures = Corpus.open(corpus.uri)  # stays at one version, and so keeps what it knows between our commits
    total = sum(len(_union(unmeasured)) for unmeasured in missing.values())
    with (
        task("measure", total, "episodes") as live,
        ThreadPoolExecutor(workers or 2 * num_cores(), "measure") as pool,
    ):
        for fragment_id, unmeasured in missing.items():
            values = _Fragment(corpus, fragment_id, rules, unmeasured)
            values.measure_numbers()
            values.measure_pictures(pictures, pool, live.advance)
            corpus.update_fragment(fragment_id, values.table())
    return total


class _Fragment:
    """What is being measured of the rows of one fragment that lack something; rows are counted among these."""

    def __init__(
        self,
        corpus: Corpus,
        fragment_id: int,
        rules: Mapping[str, Stage],
        missing: Mapping[str, NDArray[np.int64]],
    ) -> None:
        self.corpus, self.fragment_id = corpus, fragment_id
        self.rules = {rule: rules[rule] for rule, rows in missing.items() if len(rows)}
        self.rows = _union(missing)
        self.positions = {rule: np.searchsorted(self.rows, missing[rule]) for rule in self.rules}
        types = {f"{QUALITY}{n}": kind for stage in self.rules.values() for n, kind in schema_of(stage).items()}
        known = corpus.fragment_table(fragment_id, ["kind", *types, ERROR]).take(pa.array(self.rows))
        self.row_ids, self.types = known["_rowid"], types
        self.kind: list[str] = known["kind"].to_pylist()
        self.error: list[str] = [error or "" for error in known[ERROR].to_pylist()]
        self.values = {name: _start(known[name]) for name in types}

    def measure_numbers(self) -> None:
        """Let the stages that need no pictures check all their rows at once."""
        stages = {rule: stage for rule, stage in self.rules.items() if isinstance(stage, MeasuresNumbers)}
        if not stages:
            return
        names = [name for name in NUMBER_COLUMNS if name in self.corpus.schema.names]
        table = self.corpus.fragment_table(self.fragment_id, names).take(pa.array(self.rows))
        damaged = EpisodeRows(table).damaged()
        for row, reason in damaged.items():
            self.error[row] = reason
        held: dict[tuple[int, ...], EpisodeRows] = {}
        for rule, stage in stages.items():
            wanted = [i for i in self.positions[rule].tolist() if i not in damaged]
            self._put(rule, self.positions[rule], {})
            if wanted:
                # Stages that lack the same rows, as all do at first, share them and what they compute of them.
                rows = held[key] if (key := tuple(wanted)) in held else held.setdefault(key, rows_of(table, wanted))
                checked = np.array([kind in stage.kinds for kind in rows.kind])
                values = stage.measure(rows)
                some = {name: [v for v, yes in zip(each, checked, strict=True) if yes] for name, each in values.items()}
                self._put(rule, np.array(wanted)[checked], values if checked.all() else some)

    def measure_pictures(self, pictures: Corpus, pool: ThreadPoolExecutor, advance: Callable[[int], None]) -> None:
        """Let the other stages look at their rows, one film at a time."""
        stages = {rule: stage for rule, stage in self.rules.items() if isinstance(stage, MeasuresPictures)}
        for rule in stages:
            self._put(rule, self.positions[rule], {})
        looking: dict[int, list[str]] = {}
        for rule, stage in stages.items():
            for i in self.positions[rule].tolist():
                if self.kind[i] in stage.kinds:
                    looking.setdefault(i, []).append(rule)
        advance(len(self.rows) - len(looking))
        if not looking:
            return
        wanted = sorted(looking)
        table = self.corpus.fragment_table(self.fragment_id, film_columns(self.corpus))
        films = table.take(pa.array(self.rows[wanted])).to_pylist()

        def look(index: int, row: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], str]:
            film, measured, error = open_film(pictures, row), {}, ""
            for rule in looking[index]:
                try:
                    measured[rule] = stages[rule].look(film)
                except (ValueError, DataEngineError) as failure:
                    error = f"{rule}: {' '.join(str(failure).split())}"
            return measured, error

        for index, (measured, error) in zip(wanted, pool.map(look, wanted, films), strict=True):
            self.error[index] = error or self.error[index]
            for rule, numbers in measured.items():
                self._put(rule, [index], {name: [value] for name, value in numbers.items()})
            advance(1)

    def _put(self, rule: str, indices: Sequence[int] | NDArray[np.int64], measured: Mapping[str, Any]) -> None:
        """Note values of some rows; what is not found is without meaning."""
        for name, kind in schema_of(self.rules[rule]).items():
            values = self.values[f"{QUALITY}{name}"]
            if pa.types.is_floating(kind):
                values[indices] = measured.get(name, np.nan)
            else:
                for index, value in zip(indices, measured.get(name, [()] * len(indices)), strict=True):
                    values[index] = value

    def table(self) -> pa.Table:
        """Give what is to be written."""
        columns = {name: pa.array(values, type=self.types[name]) for name, values in self.values.items()}
        return pa.table({"_rowid": self.row_ids, **columns, ERROR: pa.array(self.error, pa.string())})


def _start(known: pa.ChunkedArray) -> Any:
    """Begin with what was measured before."""
    if pa.types.is_floating(known.type):
        return known.to_numpy().astype(np.float64)
    return known.to_pylist() if known.null_count < len(known) else [()] * len(known)


def _missing(table: pa.Table, rules: Mapping[str, Stage]) -> dict[str, NDArray[np.int64]]:
    """Rows of which a rule lacks something: a NULL; NaN means that it was measured and has no meaning."""
    missing = {}
    for rule, stage in rules.items():
        empty = np.zeros(len(table), dtype=bool)
        for name in schema_of(stage):
            empty |= table[f"{QUALITY}{name}"].is_null().to_numpy()
        missing[rule] = np.flatnonzero(empty)
    return missing


def _union(rows: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(list(rows.values())))
