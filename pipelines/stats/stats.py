"""Statistics of the kept episodes' states and actions, by dataset and embodiment, in one pass over numbers only."""

import time
from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.progress import task
from dataengine.report import Report
from dataengine.schema import ROBOTS_KEY
from dataengine.store import Corpus
from dataengine.windows import stats, stats_table
from dataengine.windows.stats import ColumnStatistics, EmbodimentStatistics
from pipelines.output.text_table import text_table
from pipelines.stats.measure import Remembered, StatsTally, choose, measure
from pipelines.stats.warnings import find_warnings, units


class StatsConfig(Config):
    """Which corpus to measure."""

    corpus: str
    """Directory or object-store URI."""


class EmbodimentFacts(Report):
    """How much there is of one embodiment."""

    embodiment: str
    datasets: list[str]
    episodes: int
    steps: int
    state_dim: int
    action_dim: int


class VectorFacts(Report):
    """The numbers of one vector, of one embodiment in one dataset; lists have one value for each dimension."""

    dataset: str
    embodiment: str
    column: str
    """`state`, `action`, or what the publisher shipped: `raw_state`, `raw_action`."""
    encoding: str
    names: list[str]
    """Of its values, as the publisher or the layout calls them; empty for the publisher's own vectors."""
    episodes: int
    steps: int
    steps_not_finite: int
    not_finite: list[int]
    """Of these, how many are NaN or infinite in each dimension."""
    not_finite_in: str
    """An episode that has such steps; empty for none."""
    units: str
    """Of its values, each once; empty for metres, radians and openings, and for the publisher's own vectors."""
    grippers: list[int]
    """Dimensions that are openings, 0 closed to 1 open."""
    rank_error: float
    """`q01` and `q99` are exact to this share of the steps."""
    mean: list[float]
    std: list[float]
    min: list[float]
    max: list[float]
    q01: list[float]
    q99: list[float]


class StatsReport(Report):
    """What was measured; `stats.lance` holds the same, and the sketches."""

    corpus: str
    episodes: int
    """Kept robot episodes."""
    left_out: int
    """Episodes that curation dropped."""
    without_robot: int
    """Kept episodes without numbers: human clips."""
    steps: int
    steps_trimmed: int = 0
    """Steps of kept episodes that curation cut off, and that are left out."""
    fragments: int = 0
    fragments_read: int = 0
    """Fragments that are new or curated anew since the last call; of the others it is known what they hold."""
    embodiments: list[EmbodimentFacts] = Field(default_factory=list)
    groups: list[VectorFacts] = Field(default_factory=list)
    steps_not_finite: int
    """Steps left out because a value is NaN or infinite."""
    rank_error: float
    """No 1 % or 99 % quantile, of an embodiment or of it in one dataset, is further off than this share of it."""
    warnings: list[str] = Field(default_factory=list)
    """What a person should look at: numbers that are missing, merges, units."""
    seconds: float

    def summary(self) -> str:
        """Print a row for each embodiment in each dataset, or what to do where no episode has numbers."""
        if not self.groups:
            return (
                f"nothing to do: none of {self.without_robot} kept episodes has states or actions; "
                f"`villa train lam {self.corpus}` needs no statistics"
            )
        rows = [
            [
                *(embodiment, dataset, _most(both, "episodes"), _most(both, "steps")),
                *(_say([g for g in both if g.column == column]) for column in ("state", "action")),
            ]
            for (embodiment, dataset), both in self._by_dataset().items()
        ]
        lines = [text_table(["embodiment", "dataset", "episodes", "steps", "state", "action"], rows)]
        off = f"quantiles off by {100 * self.rank_error:.2g}% of the steps at most"
        exact = off if self.rank_error else "quantiles are exact"
        lines.append(
            f"{self.episodes} robot episodes measured in {self.seconds:.1f} s, {self.fragments_read} of "
            f"{self.fragments} fragments read; {self.left_out} dropped by curation, {self.steps_trimmed} idle steps "
            f"and {self.without_robot} human clips left out; {exact}"
        )
        return "\n".join([*lines, *self.warnings])

    def _by_dataset(self) -> dict[tuple[str, str], list[VectorFacts]]:
        groups: dict[tuple[str, str], list[VectorFacts]] = {}
        for group in self.groups:
            groups.setdefault((group.embodiment, group.dataset), []).append(group)
        return groups


def run(config: StatsConfig) -> StatsReport:
    """Read one column of one fragment at a time, of fragments that are new or curated anew: memory does not grow."""
    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    if corpus.snapshot is not None:
        raise DataEngineError(
            f"{corpus.uri}: statistics are written to the corpus as it is now, never to snapshot "
            f"'{corpus.snapshot.name}'; run `villa stats {corpus.uri}`, then take a new snapshot"
        )
    corpus.check_writable()
    remembered, total = Remembered(corpus), StatsTally()
    fragment_ids, measured = corpus.fragment_ids(), 0
    with task("stats", len(fragment_ids), "fragments") as live:
        for fragment_id in fragment_ids:
            choice = choose(corpus, fragment_id)
            measures = remembered.get(choice.name)
            if measures is None:
                measures, measured = measure(corpus, fragment_id, choice), measured + 1
                remembered.put(choice.name, measures)
            total.merge(measures)
            live.advance()
    if not total.kept:
        raise DataEngineError(
            f"{config.corpus}: no episode is left to measure ({total.left_out} dropped by curation); ingest a dataset, "
            f"or curate with another recipe"
        )
    groups = total.as_groups()
    merged = stats.by_embodiment(groups)
    _write(corpus, groups)
    remembered.forget_others()
    report = StatsReport(
        corpus=config.corpus,
        episodes=total.robots,
        left_out=total.left_out,
        without_robot=total.kept - total.robots,
        steps=sum(max(one.state.count, one.action.count) for one in merged.values()),
        steps_trimmed=total.trimmed,
        fragments=len(fragment_ids),
        fragments_read=measured,
        embodiments=[_facts(name, one) for name, one in merged.items()],
        groups=[_group_facts(g) for g in sorted(groups, key=lambda g: (g.embodiment, g.dataset, g.column))],
        steps_not_finite=sum(g.accumulator.num_not_finite for g in groups),
        rank_error=max(
            [
                *(g.accumulator.sketch.rank_error for g in groups),
                *(vector.rank_error for one in merged.values() for vector in (one.state, one.action)),
            ],
            default=0.0,
        ),
        warnings=find_warnings(groups),
        seconds=round(time.monotonic() - start, 3),
    )
    counts = report.model_dump(
        include={"episodes", "left_out", "without_robot", "steps", "steps_trimmed", "steps_not_finite"}
    )
    versions = {"version_in": corpus.version, "version_out": corpus.version}
    run = {"command": "stats", "config": config.model_dump(), "seconds": report.seconds, **versions, "counts": counts}
    corpus.append_run(run)
    return report


def _write(corpus: Corpus, groups: Sequence[ColumnStatistics]) -> None:
    """Replace the statistics of a corpus; those of robots that curation has dropped since hold no more."""
    if groups or corpus.stats() is not None:
        written = stats_table.to_table(groups)
        corpus.write_stats(written.replace_schema_metadata({ROBOTS_KEY: corpus.robots_hash()}))


def _facts(name: str, one: EmbodimentStatistics) -> EmbodimentFacts:
    return EmbodimentFacts(
        embodiment=name,
        datasets=list(one.datasets),
        episodes=one.num_episodes,
        steps=max(one.state.count, one.action.count),
        state_dim=one.state.dim,
        action_dim=one.action.dim,
    )


def _group_facts(group: ColumnStatistics) -> VectorFacts:
    seen = group.accumulator
    done = seen.statistics()
    return VectorFacts(
        **{name: getattr(group, name) for name in ("dataset", "embodiment", "column", "encoding")},
        episodes=seen.num_episodes,
        steps=seen.count,
        steps_not_finite=seen.num_not_finite,
        not_finite=seen.not_finite.tolist(),
        not_finite_in=seen.not_finite_in,
        units=units(group),
        names=[group.layout.name(i) for i in range(group.layout.dim)] if group.layout else [],
        grippers=list(group.openings),
        rank_error=seen.sketch.rank_error,
        **{name: getattr(done, name).tolist() for name in ("mean", "std", "min", "max", "q01", "q99")},
    )


def _most(groups: Sequence[VectorFacts], what: str) -> int:
    """Count episodes or steps of that vector that has most of them; a vector may have several layouts."""
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.column] += getattr(group, what)
    return max(counts.values())


def _say(groups: Sequence[VectorFacts]) -> str:
    """Say a vector's layouts: `eef_pose 7, gripper 6`."""
    descriptions = []
    for group in groups:
        grippers = f", gripper {' '.join(map(str, group.grippers))}" if group.grippers else ""
        unit = f" ({group.units})" if group.units else ""
        descriptions.append(f"{group.encoding} {len(group.mean)}{grippers}{unit}")
    return " or ".join(dict.fromkeys(descriptions)) or "none"
