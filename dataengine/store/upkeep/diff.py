"""What changed between two versions of the episodes: rows by their ids, columns, and what curation decided.

Only plain columns are compared, one at a time, so that memory holds the ids and two columns. Of frames these are sizes
and checksums, of vectors their widths.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from dataengine.report import Report
from dataengine.schema import EPISODES
from dataengine.store.kept import KeptSteps
from dataengine.store.read.corpus import Corpus
from dataengine.windows.mixture import Mixture

SHOWN = 20
"""Changed episodes that are told one by one."""

KINDS = ("added", "removed", "changed", "dropped", "restored", "trimmed")
"""What may happen to an episode."""

COMPARED = (
    *(
        field.name
        for field in EPISODES
        if field.name != "run_id" and not pa.types.is_list(field.type) and not pa.types.is_large_binary(field.type)
    ),
    "texts",
)


class DatasetDiff(Report):
    """What happened to one dataset."""

    dataset: str
    before: int
    """Episodes then."""
    after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    """Episodes that are in both, with other values."""
    dropped: int = 0
    """Episodes that curation kept before and does not keep after."""
    restored: int = 0
    trimmed: int = 0
    """Episodes of which curation leaves out other steps."""


class DiffReport(Report):
    """What changed from one state to another."""

    uri: str
    before: str
    after: str
    before_version: int
    after_version: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    dropped: int = 0
    restored: int = 0
    trimmed: int = 0
    mixture: dict[str, tuple[Any, Any]] = Field(default_factory=dict)
    """Settings of the pinned mixtures that differ, before and after."""
    columns_added: list[str] = Field(default_factory=list)
    columns_removed: list[str] = Field(default_factory=list)
    filled: dict[str, tuple[int, int]] = Field(default_factory=dict)
    """Episodes that have a value in an added column, before and after, where that differs."""
    datasets: list[DatasetDiff] = Field(default_factory=list)
    """Those in which anything differs."""
    examples: list[str] = Field(default_factory=list)
    """Some of the changed episodes, with the columns that differ."""

    def summary(self) -> str:
        """Print one line for each kind of change, and for each dataset."""
        head = f"{self.uri}: {self.before} (version {self.before_version}) to {self.after} ({self.after_version})"
        lines = [
            f"  {d.dataset}: {d.before} episodes, now {d.after}: {d.added} added, {d.removed} removed, "
            f"{d.changed} changed; curation dropped {d.dropped}, restored {d.restored}, trimmed {d.trimmed} otherwise"
            for d in self.datasets
        ]
        if self.columns_added:
            lines.append(f"  columns added: {', '.join(self.columns_added)}")
        if self.columns_removed:
            lines.append(f"  columns removed: {', '.join(self.columns_removed)}")
        lines += [f"  {name}: filled for {then} episodes, now {now}" for name, (then, now) in self.filled.items()]
        lines += [f"  mixture {name}: {_say(then)}, now {_say(now)}" for name, (then, now) in self.mixture.items()]
        lines += [f"  changed: {example}" for example in self.examples]
        return "\n".join([head, *(lines or ["  no difference"])])


def open_at(uri: str, word: str) -> Corpus:
    """Open a corpus at `now`, at the number of a version, or at a snapshot."""
    if word == "now":
        return Corpus.open(uri)
    return Corpus.open(uri, int(word)) if word.isdigit() else Corpus.open(uri, snapshot=word)


def diff(before: Corpus, after: Corpus, names: tuple[str, str]) -> DiffReport:
    """Compare two states of one corpus."""
    sides = [_Side(before), _Side(after)]
    shared, *rows = np.intersect1d(sides[0].ids, sides[1].ids, return_indices=True)
    differing = np.zeros(len(shared), dtype=bool)
    report = DiffReport(
        uri=after.uri,
        before=names[0],
        after=names[1],
        before_version=before.version,
        after_version=after.version,
        columns_added=[name for name in after.schema.names if name not in before.schema.names],
        columns_removed=[name for name in before.schema.names if name not in after.schema.names],
    )
    details: dict[str, list[str]] = {}
    for column in COMPARED:
        if any(column not in side.corpus.schema.names for side in sides):
            continue
        values = [
            (side.spoken() if column == "texts" else side.column(column)).take(pa.array(mine))
            for side, mine in zip(sides, rows, strict=True)
        ]
        other = _differ(*values)
        differing |= other
        for i in np.flatnonzero(other)[:SHOWN]:
            episode_id = shared[i].decode()
            if len(details) < SHOWN or episode_id in details:
                details.setdefault(episode_id, []).append(f"{column} {values[0][i].as_py()} -> {values[1][i].as_py()}")
    report.examples = [f"{episode_id}: {', '.join(changes)}" for episode_id, changes in details.items()]
    report.mixture = _mixtures(before, after)
    kept = [side.choice.mask[mine] for side, mine in zip(sides, rows, strict=True)]
    gone, new = (np.setdiff1d(np.arange(len(side.ids)), mine) for side, mine in zip(sides, rows, strict=True))
    counts = {
        "before": sides[0].count(np.arange(len(sides[0].ids))),
        "after": sides[1].count(np.arange(len(sides[1].ids))),
        "added": sides[1].count(new),
        "removed": sides[0].count(gone),
        "changed": sides[1].count(rows[1][differing]),
        "dropped": sides[1].count(rows[1][kept[0] & ~kept[1]]),
        "restored": sides[1].count(rows[1][~kept[0] & kept[1]]),
        "trimmed": sides[1].count(rows[1][_trimmed_otherwise(sides, rows)]),
    }
    for name in sorted(counts["before"].keys() | counts["after"].keys()):
        mine = {key: count[name] for key, count in counts.items()}
        if any(mine[key] for key in KINDS):
            report.datasets.append(DatasetDiff(dataset=name, **mine))
    for key in KINDS:
        setattr(report, key, counts[key].total())
    report.filled = dict(_filled(before, after))
    return report


class _Side:
    """One of the two states, a column at a time."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.ids: NDArray[np.bytes_] = np.array(self.column("episode_id").to_pylist(), dtype="S")
        self._datasets = self.column("dataset").dictionary_encode()

    def column(self, name: str) -> pa.Array:
        return self.corpus.table([name])[name].combine_chunks()

    def spoken(self) -> pa.Array:
        """Spell the texts of each episode out, to compare them."""
        column = self.column("texts")
        spans = column.flatten()
        parts = [pc.struct_field(spans, name).cast(pa.string()) for name in ("start", "end")]
        said = pc.binary_join(pc.struct_field(spans, "phrases"), " | ")
        lines = pc.binary_join_element_wise(parts[0], "-", parts[1], ": ", said, "")
        ends = np.cumsum([0, *pc.list_value_length(column).fill_null(0).to_pylist()])
        joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), lines), "; ")
        return pc.if_else(pc.is_null(column), None, joined)

    @cached_property
    def choice(self) -> KeptSteps:
        return self.corpus.kept().choice

    def trims(self) -> NDArray[np.int64]:
        """(e, 2) steps that curation leaves out at the head and at the tail."""
        return np.stack([self.choice.head, self.choice.tail], axis=1)

    def count(self, rows: NDArray[np.int64]) -> Counter[str]:
        """Count episodes by dataset."""
        numbers = np.bincount(self._datasets.indices.to_numpy()[rows], minlength=len(self._datasets.dictionary))
        return Counter(dict(zip(self._datasets.dictionary.to_pylist(), numbers.tolist(), strict=True)))


def _trimmed_otherwise(sides: "Sequence[_Side]", rows: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Of the episodes that both states hold."""
    before, after = (side.trims()[mine] for side, mine in zip(sides, rows, strict=True))
    return (before != after).any(axis=1)


def _mixtures(before: Corpus, after: Corpus) -> dict[str, tuple[Any, Any]]:
    """Compare pinned mixtures by their settings; a state without a snapshot pins none and is not compared."""
    if before.snapshot is None or after.snapshot is None:
        return {}
    then, now = (_settings(corpus.snapshot.mixture) for corpus in (before, after) if corpus.snapshot is not None)
    names = dict.fromkeys([*then, *now])
    return {name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)}


def _settings(mixture: Mapping[str, Any] | None) -> dict[str, Any]:
    """Lay a mixture's settings out flat: one of each dataset."""
    flat: dict[str, Any] = {}
    for name, value in (Mixture().model_dump(mode="json") if mixture is None else mixture).items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _say(setting: Any) -> str:
    return "none" if setting is None or setting == [] else json.dumps(setting)


def _differ(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    """Compare values where NULL equals NULL."""
    same = pc.or_kleene(pc.equal(before, after), pc.and_(before.is_null(), after.is_null()))
    return ~pc.fill_null(same, False).to_numpy(zero_copy_only=False)


def _filled(before: Corpus, after: Corpus) -> Iterator[tuple[str, tuple[int, int]]]:
    """Count the values of labels and measures."""
    for name in dict.fromkeys([*before.schema.names, *after.schema.names]):
        if name in EPISODES.names:
            continue
        counts = [
            corpus.count(f"{name} IS NOT NULL") if name in corpus.schema.names else 0 for corpus in (before, after)
        ]
        if counts[0] != counts[1]:
            yield name, (counts[0], counts[1])
