"""Statistics of the kept episodes' states and actions, by dataset and embodiment, in one pass over numbers only."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from dataengine import stats
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.progress import task
from dataengine.report import Report
from dataengine.stats import Accumulator, EmbodimentStatistics, Group
from dataengine.store import Corpus
from pipelines.kept import kept_mask
from pipelines.text_table import text_table


class StatsConfig(Config):
    """Which corpus to measure."""

    corpus: str
    """Directory or object-store URI."""


class EmbodimentFacts(Report):
    """How much there is of one robot body."""

    embodiment: str
    datasets: list[str]
    episodes: int
    steps: int
    state_dim: int
    action_dim: int


class StatsReport(Report):
    """What was measured; the numbers themselves are in `stats.lance`."""

    corpus: str
    episodes: int
    """Kept robot episodes."""
    left_out: int
    """Episodes that curation dropped."""
    without_robot: int
    """Kept episodes without state and action: human clips."""
    steps: int
    embodiments: list[EmbodimentFacts] = Field(default_factory=list)
    steps_not_finite: int
    """Steps left out because a value is NaN or infinite."""
    rank_error: float
    """No 1 % or 99 % quantile of any group is further off than this share of its steps."""
    doubts: list[str] = Field(default_factory=list)
    """Merges that a person should look at."""
    seconds: float

    def summary(self) -> str:
        """Print a row per embodiment."""
        rows = [
            [e.embodiment, ", ".join(e.datasets), e.episodes, e.steps, e.state_dim, e.action_dim]
            for e in self.embodiments
        ]
        lines = [text_table(["embodiment", "datasets", "episodes", "steps", "state", "action"], rows)]
        lines.append(
            f"{self.episodes} robot episodes measured in {self.seconds:.1f} s; {self.left_out} dropped by curation and "
            f"{self.without_robot} human clips left out; quantiles exact to {self.rank_error:.2%} of the steps"
        )
        if self.steps_not_finite:
            lines.append(f"{self.steps_not_finite} steps hold NaN or infinity and were left out")
        return "\n".join([*lines, *self.doubts])


def run(config: StatsConfig) -> StatsReport:
    """Read one column of one fragment at a time: memory does not grow with the corpus."""
    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    groups: dict[Key, Accumulator] = {}
    left_out = kept = with_robot = 0
    fragment_ids = corpus.fragment_ids()
    with task("stats", len(fragment_ids), "fragments") as live:
        for fragment_id in fragment_ids:
            keep = kept_mask(corpus, fragment_id)
            kept, left_out = kept + int(keep.sum()), left_out + int((~keep).sum())
            robots = np.zeros(len(keep), dtype=bool)
            for column in stats.COLUMNS:
                table = _read(corpus, fragment_id, column)
                dims = table[f"{column}_dim"].fill_null(0).to_numpy()
                robots |= keep & (dims > 0)
                for key, mask in _split(table, column, keep & (dims > 0)):
                    flat = table.filter(pa.array(mask))[column].combine_chunks().flatten().to_numpy()
                    accumulator = groups.setdefault(key, Accumulator.empty(key.dim))
                    accumulator.add(flat.reshape(-1, key.dim), num_episodes=int(mask.sum()))
            with_robot += int(robots.sum())
            live.advance()
    if not groups:
        raise DataEngineError(
            f"{config.corpus}: none of {kept} kept episodes ({left_out} dropped) has states or actions; "
            f"ingest a robot dataset first"
        )
    written = [
        Group(dataset=k.dataset, embodiment=k.embodiment, column=k.column, encoding=k.encoding, accumulator=a)
        for k, a in groups.items()
    ]
    merged = stats.by_embodiment(written)
    corpus.write_stats(stats.to_table(written))
    report = StatsReport(
        corpus=config.corpus,
        episodes=with_robot,
        left_out=left_out,
        without_robot=kept - with_robot,
        steps=sum(max(one.state.count, one.action.count) for one in merged.values()),
        embodiments=[_facts(name, one) for name, one in merged.items()],
        steps_not_finite=sum(g.accumulator.num_not_finite for g in written),
        rank_error=max(g.accumulator.sketch.rank_error for g in written),
        doubts=_doubts(written),
        seconds=round(time.monotonic() - start, 3),
    )
    counts = report.model_dump(include={"episodes", "left_out", "without_robot", "steps", "steps_not_finite"})
    versions = {"version_in": corpus.version, "version_out": corpus.version}
    run = {"command": "stats", "config": config.model_dump(), "seconds": report.seconds, **versions, "counts": counts}
    corpus.append_run(run)
    return report


class Key(NamedTuple):
    """What must agree for two episodes to share statistics."""

    dataset: str
    embodiment: str
    column: str
    dim: int
    encoding: str


def _read(corpus: Corpus, fragment_id: int, column: str) -> pa.Table:
    names = ["dataset", "embodiment", column, f"{column}_dim"]
    return corpus.fragment_table(fragment_id, names if column.startswith("raw_") else [*names, f"{column}_encoding"])


def _split(table: pa.Table, column: str, wanted: NDArray[np.bool_]) -> Iterator[tuple[Key, NDArray[np.bool_]]]:
    """Say which of the wanted rows share statistics."""
    rows = len(table)
    encodings = [""] * rows if column.startswith("raw_") else table[f"{column}_encoding"].to_pylist()
    words = (table[name].to_pylist() for name in ("dataset", "embodiment"))
    dims = table[f"{column}_dim"].to_pylist()
    members: dict[Key, NDArray[np.bool_]] = {}
    for i, (dataset, embodiment, dim, encoding) in enumerate(zip(*words, dims, encodings, strict=True)):
        if wanted[i]:
            key = Key(dataset, embodiment, column, dim, encoding or "none")
            members.setdefault(key, np.zeros(rows, dtype=bool))[i] = True
    yield from members.items()


def _facts(name: str, one: EmbodimentStatistics) -> EmbodimentFacts:
    return EmbodimentFacts(
        embodiment=name,
        datasets=list(one.datasets),
        episodes=one.num_episodes,
        steps=max(one.state.count, one.action.count),
        state_dim=one.state.dim,
        action_dim=one.action.dim,
    )


def _doubts(groups: Sequence[Group]) -> list[str]:
    """Name embodiments whose datasets give the same vector two meanings: their quantiles say little."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for g in groups:
        if not g.column.startswith("raw_"):
            found.setdefault((g.embodiment, g.column), {}).setdefault(g.encoding, set()).add(g.dataset)
    return [
        f"embodiment '{embodiment}': its {column} is "
        + " but ".join(f"{encoding} in {', '.join(sorted(names))}" for encoding, names in sorted(meanings.items()))
        + "; statistics mix the two"
        for (embodiment, column), meanings in sorted(found.items())
        if len(meanings) > 1
    ]
