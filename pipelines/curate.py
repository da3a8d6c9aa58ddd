"""Judges every episode: measures what is not measured yet, then applies rules to the numbers alone.

Measuring reads states and pictures and writes `quality__*` columns, fragment by fragment. The rules read those columns
and write `keep` and `reject_reason`; so a threshold moves in seconds, and no episode is ever deleted.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.progress import task
from dataengine.protocols import Stage
from dataengine.report import Report
from dataengine.store import Corpus
from pipelines.curate_episodes import read_episode, row_columns
from pipelines.curate_recipe import load_recipe
from pipelines.text_table import text_table

ERROR = "quality__error"
"""Column that says why an episode could not be measured; empty where it could, NULL where nobody tried."""


class CurateConfig(Config):
    """Which rules judge which corpus."""

    corpus: str
    """Directory or object-store URI."""
    recipe: str = "default"
    """Name of a recipe that ships with the tool, or a YAML file: stage names, each with its thresholds."""
    explain: str | None = None
    """Only show the numbers and the verdict on the episode with this id; nothing is written."""
    workers: int = Field(0, ge=0)
    """Threads that measure; 0 takes two for each processor."""


class RuleFacts(Report):
    """What one rule did."""

    rule: str
    judged: int
    """Episodes of the kinds it is for."""
    dropped: int
    """Episodes for which it was the first to object."""
    example: str = ""
    """One of the reasons that it gave."""


class CurateReport(Report):
    """What was measured, and what stays."""

    corpus: str
    recipe: str
    episodes: int
    kept: int
    dropped: int
    rules: list[RuleFacts] = Field(default_factory=list)
    kept_by_dataset: dict[str, int] = Field(default_factory=dict)
    measured: int
    """Episodes measured by this call; those measured before were not read again."""
    unreadable: int
    """Episodes dropped because a stage could not measure them."""
    seconds: float

    def summary(self) -> str:
        """Print a row per rule."""
        rows = [[r.rule, r.judged, r.dropped, r.example] for r in self.rules]
        datasets = ", ".join(f"{name} {count}" for name, count in self.kept_by_dataset.items())
        kept = f"kept {self.kept} of {self.episodes} episodes ({datasets})"
        lines = [
            text_table(["rule", "judged", "dropped", "example"], rows),
            f"{kept}; measured {self.measured} in {self.seconds:.1f} s",
        ]
        if self.unreadable:
            lines.append(f"{self.unreadable} episodes could not be measured and were dropped; see column {ERROR}")
        return "\n".join(lines)


class Verdict(Report):
    """One rule on one episode."""

    rule: str
    numbers: dict[str, float | None]
    """What was measured; null where a number has no meaning for this episode."""
    thresholds: dict[str, Any]
    reason: str | None
    """Why the episode must go; null if the rule has no objection or is not for this kind."""


class ExplainReport(Report):
    """One episode's numbers and what every rule says about them."""

    episode_id: str
    dataset: str
    keep: bool
    reason: str
    verdicts: list[Verdict]

    def summary(self) -> str:
        """Print a row per rule and the conclusion."""
        rows = [
            [
                v.rule,
                ", ".join(f"{name} {'-' if x is None else f'{x:.4g}'}" for name, x in v.numbers.items()),
                ", ".join(f"{name} {x:g}" for name, x in v.thresholds.items()),
                v.reason or "fine",
            ]
            for v in self.verdicts
        ]
        table = text_table(["rule", "numbers", "thresholds", "says"], rows)
        end = "kept" if self.keep else f"dropped: {self.reason}"
        return f"{table}\nepisode {self.episode_id} of {self.dataset}: {end}"


def run(config: CurateConfig) -> CurateReport | ExplainReport:
    """Measure, then decide; or explain one episode."""
    start = time.monotonic()
    rules = load_recipe(config.recipe)
    corpus = Corpus.open(config.corpus)
    if config.explain is not None:
        return explain(corpus, config.explain, rules)
    version = corpus.version
    measured = measure(corpus, rules, config.workers)
    decided = decide(corpus, rules)
    report = CurateReport(
        corpus=config.corpus,
        recipe=config.recipe,
        episodes=decided.episodes,
        kept=decided.kept,
        dropped=decided.episodes - decided.kept,
        rules=[
            RuleFacts(
                rule=name,
                judged=decided.judged[name],
                dropped=decided.dropped[name],
                example=decided.example.get(name, ""),
            )
            for name in rules
        ],
        kept_by_dataset=dict(sorted(decided.kept_by_dataset.items())),
        measured=measured,
        unreadable=decided.unreadable,
        seconds=round(time.monotonic() - start, 3),
    )
    if measured or decided.changed:
        counts = report.model_dump(include={"episodes", "kept", "dropped", "measured", "unreadable"})
        versions = {"version_in": version, "version_out": corpus.version}
        thresholds = {name: asdict(stage) for name, stage in rules.items()}  # type: ignore[call-overload]
        settings = {"config": {**config.model_dump(), "thresholds": thresholds}, "seconds": report.seconds}
        corpus.append_run({"command": "curate", **settings, **versions, "counts": counts})
    return report


def measure(corpus: Corpus, rules: Mapping[str, Stage], workers: int = 0) -> int:
    """Fill the `quality__*` columns where they are NULL and return the number of episodes that were read."""
    columns = [f"quality__{name}" for stage in rules.values() for name in stage.columns]
    corpus.ensure_columns(pa.schema([*((name, pa.float64()) for name in columns), (ERROR, pa.string())]))
    fragment_ids = corpus.fragment_ids()
    missing = {i: _not_measured(corpus.fragment_table(i, columns), columns) for i in fragment_ids}
    pictures = Corpus.open(corpus.uri)  # stays at one version, and so keeps what it knows between our commits
    total = sum(len(rows) for rows in missing.values())
    with (
        task("measure", total, "episodes") as live,
        ThreadPoolExecutor(workers or 2 * (os.cpu_count() or 1), "measure") as pool,
    ):
        for fragment_id, rows in missing.items():
            if not len(rows):
                continue
            table = corpus.fragment_table(fragment_id, [*row_columns(corpus), *columns, ERROR]).take(rows)
            found = []
            for numbers in pool.map(lambda row: _measure_row(pictures, rules, row), table.to_pylist()):
                found.append(numbers)
                live.advance()
            schema = pa.schema([("_rowid", pa.uint64()), *((n, pa.float64()) for n in columns), (ERROR, pa.string())])
            corpus.update_fragment(fragment_id, pa.Table.from_pylist(found, schema=schema))
    return total


def _not_measured(table: pa.Table, columns: Sequence[str]) -> Any:
    """Rows in which a number is NULL; NaN means that it was measured and has no meaning."""
    empty = np.zeros(len(table), dtype=bool)
    for name in columns:
        empty |= table[name].is_null().to_numpy(zero_copy_only=False)
    return np.flatnonzero(empty)


def _measure_row(corpus: Corpus, rules: Mapping[str, Stage], row: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what a row lacks. A picture that cannot be decoded costs this episode, not the command."""
    out: dict[str, Any] = {"_rowid": row["_rowid"], ERROR: row[ERROR] or ""}
    episode = None
    for rule, stage in rules.items():
        names = {name: f"quality__{name}" for name in stage.columns}
        if all(row[column] is not None for column in names.values()):
            out |= {column: row[column] for column in names.values()}
            continue
        numbers = dict.fromkeys(stage.columns, float("nan"))
        if row["kind"] in stage.kinds:
            try:
                episode = episode or read_episode(corpus, row)
                numbers |= stage.measure(episode)
            except (ValueError, DataEngineError) as error:
                out[ERROR] = f"{rule}: {' '.join(str(error).split())}"
        out |= {names[name]: float(value) for name, value in numbers.items()}
    return out


@dataclass
class Decided:
    """Counts of one round of decisions."""

    episodes: int = 0
    kept: int = 0
    unreadable: int = 0
    changed: int = 0
    """Fragments that were written."""

    def __post_init__(self) -> None:
        self.judged: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.kept_by_dataset: Counter[str] = Counter()
        self.example: dict[str, str] = {}


def decide(corpus: Corpus, rules: Mapping[str, Stage]) -> Decided:
    """Write `keep` and `reject_reason` from the measured columns; only fragments in which something changes."""
    corpus.ensure_columns(pa.schema([("keep", pa.bool_()), ("reject_reason", pa.string())]))
    columns = [f"quality__{name}" for stage in rules.values() for name in stage.columns]
    done = Decided()
    for fragment_id in corpus.fragment_ids():
        table = corpus.fragment_table(fragment_id, ["dataset", "kind", "keep", "reject_reason", *columns, ERROR])
        reasons = [_judge(rules, row, done) for row in table.to_pylist()]
        keep = pa.array([not reason for reason in reasons])
        words = pa.array(reasons, type=pa.string())
        if not (table["keep"].combine_chunks().equals(keep) and table["reject_reason"].combine_chunks().equals(words)):
            done.changed += 1
            corpus.update_fragment(
                fragment_id, pa.table({"_rowid": table["_rowid"], "keep": keep, "reject_reason": words})
            )
    return done


def _judge(rules: Mapping[str, Stage], row: Mapping[str, Any], done: Decided) -> str:
    """Give the first objection to an episode, or nothing, and count."""
    done.episodes += 1
    objection = ""
    for rule, stage in rules.items():
        if row["kind"] not in stage.kinds:
            continue
        done.judged[rule] += 1
        reason = stage.reject({name: row[f"quality__{name}"] for name in stage.columns})
        if reason and not objection:
            objection = f"{rule}: {reason}"
            done.dropped[rule] += 1
            done.example.setdefault(rule, reason)
    if row[ERROR]:
        done.unreadable += not objection
        objection = objection or f"could not be measured: {row[ERROR]}"
    done.kept += not objection
    done.kept_by_dataset[row["dataset"]] += not objection
    return objection


def explain(corpus: Corpus, episode_id: str, rules: Mapping[str, Stage]) -> ExplainReport:
    """Judge one episode by the numbers in the corpus."""
    columns = [f"quality__{name}" for stage in rules.values() for name in stage.columns]
    if not set(columns) | {ERROR} <= set(corpus.schema.names):
        raise DataEngineError(f"{corpus.uri}: not measured by these rules yet; run `villa curate {corpus.uri}` first")
    quoted = episode_id.replace("'", "''")
    rows = corpus.table(["dataset", "kind", *columns, ERROR], where=f"episode_id = '{quoted}'").to_pylist()
    if not rows:
        raise DataEngineError(f"{corpus.uri}: no episode '{episode_id}'; `villa show {corpus.uri}` lists them")
    row = rows[0]
    if row[ERROR] is None or any(row[column] is None for column in columns):
        raise DataEngineError(f"episode '{episode_id}' came after the last measurement; run `villa curate` first")
    reason = _judge(rules, row, Decided())
    return ExplainReport(
        episode_id=episode_id,
        dataset=row["dataset"],
        keep=not reason,
        reason=reason,
        verdicts=[_verdict(rule, stage, row) for rule, stage in rules.items()],
    )


def _verdict(rule: str, stage: Stage, row: Mapping[str, Any]) -> Verdict:
    numbers = {name: float(row[f"quality__{name}"]) for name in stage.columns}
    return Verdict(
        rule=rule,
        numbers={name: None if np.isnan(x) else x for name, x in numbers.items()},
        thresholds=asdict(stage),  # type: ignore[call-overload]
        reason=stage.reject(numbers) if row["kind"] in stage.kinds else None,
    )
