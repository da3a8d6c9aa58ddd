"""Checks every episode: measures what is not measured yet, then applies rules to the numbers alone.

Measuring reads states and pictures and writes `quality__*` columns, fragment by fragment. The rules read those columns
and write `keep`, `reject_reason`, `trim_start` and `trim_end`; so a threshold moves in seconds, and nothing is deleted.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import Field

from dataengine.config import MOST_WORKERS, Config
from dataengine.curation.coverage import Coverage, unchecked
from dataengine.curation.stage import Rejects, Stage, Trims, Warns
from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from pipelines.corpus.names import find_episode
from pipelines.curate import decide
from pipelines.curate.decide import Verdicts
from pipelines.curate.measure import ERROR, measure, quality_columns
from pipelines.curate.recipe import load_recipe
from pipelines.curate.report import CoverageShare, CurateReport, ExplainReport, RuleFacts, Verdict
from pipelines.output.folder import Before, OutputFolder, claimed, page_with, roots_of

NOT_FOR = {"robot": "a rule for human clips", "human": "a rule for robots"}
OLD_PAGE = Before(r"index\.html|examples/[0-9a-f]{16}\.jpg", page_with("Curation"))


class CurateConfig(Config):
    """Which rules check which corpus."""

    corpus: str
    """Directory or object-store URI."""
    recipe: str = "default"
    """Name of a recipe that ships with the tool, or a YAML file: stage names, each with its thresholds."""
    explain: str | None = None
    """Only show the numbers and the verdict on the episode with this id, by the recipe that the corpus was curated with
    last where none is given; nothing is written."""
    report: Path | None = None
    """Folder for a page with examples and histograms; by default `<corpus>.curation` beside a corpus on disk."""
    page: bool = True
    """Whether to write it."""
    workers: int = Field(0, ge=0, le=MOST_WORKERS)
    """Threads that look at pictures; 0 takes two for each processor."""


def run(config: CurateConfig) -> CurateReport | ExplainReport:
    """Measure, then decide; or explain one episode."""
    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    if config.explain is not None:
        recipe = config.recipe if "recipe" in config.model_fields_set else _last_recipe(corpus, config.recipe)
        return explain(corpus, config.explain, recipe)
    rules = load_recipe(config.recipe)
    corpus.check_writable()
    folder = _page_folder(config, corpus)
    if folder is None:
        return _curate(config, corpus, rules, None, start)
    with claimed(folder, "curate", before=OLD_PAGE, sources=roots_of(corpus)) as out:
        out.claim("index.html")
        return _curate(config, corpus, rules, out, start)


def _curate(
    config: CurateConfig, corpus: Corpus, rules: Mapping[str, Stage], out: OutputFolder | None, start: float
) -> CurateReport:
    """Write what was measured and decided, and the page."""
    version = corpus.version
    measured = measure(corpus, rules, config.workers)
    verdicts = decide.check(corpus, rules)
    changed = decide.write(corpus, verdicts)
    page = out.root / "index.html" if out else ""
    report = _report(config, rules, verdicts).model_copy(
        update={"measured": measured, "seconds": round(time.monotonic() - start, 3), "page": str(page)}
    )
    if measured or changed:
        keys = {
            "episodes",
            "kept",
            "dropped",
            "measured",
            "unreadable",
            "trimmed",
            "steps_trimmed",
            "dropped_by_dataset",
        }
        thresholds = {name: asdict(stage) for name, stage in rules.items()}  # type: ignore[call-overload]
        settings = {**config.model_dump(mode="json"), "thresholds": thresholds, "learnt": verdicts.learnt}
        versions = {"version_in": version, "version_out": corpus.version}
        counts = report.model_dump(include=keys)
        run = {"command": "curate", "config": settings, "seconds": report.seconds, **versions, "counts": counts}
        corpus.append_run(run)
    if out:
        from pipelines.curate.page import write_page

        write_page(out, corpus, rules, verdicts, report)
    return report


def _page_folder(config: CurateConfig, corpus: Corpus) -> Path | None:
    """Choose the folder of the page; beside a corpus in an object store there is none."""
    if not config.page:
        return None
    local = Path(corpus.uri)
    return config.report or (local.with_name(f"{local.name}.curation") if local.is_dir() else None)


def _report(config: CurateConfig, rules: Mapping[str, Stage], verdicts: Verdicts) -> CurateReport:
    """Count verdicts."""
    kept = [not reason for reason in verdicts.reason]
    example: dict[str, str] = {}
    lost: dict[str, Counter[str]] = {name: Counter() for name in sorted(set(verdicts.texts["dataset"]))}
    keeps: Counter[str] = Counter(dict.fromkeys(lost, 0))
    for dataset, rule, reason in zip(verdicts.texts["dataset"], verdicts.rule, verdicts.reason, strict=True):
        if reason:
            lost[dataset][rule or "unreadable"] += 1
            example.setdefault(rule, reason.removeprefix(f"{rule}: "))
        else:
            keeps[dataset] += 1
    dropped = sum(lost.values(), Counter())
    trimmed, steps = int((verdicts.trimmed.sum(axis=1) > 0).sum()), int(verdicts.trimmed.sum())
    if trimmed:
        example |= {r: f"left {steps:,} steps of {trimmed:,} out" for r, s in rules.items() if isinstance(s, Trims)}
    return CurateReport(
        corpus=config.corpus,
        recipe=config.recipe,
        episodes=len(kept),
        kept=sum(kept),
        dropped=len(kept) - sum(kept),
        rules=[
            RuleFacts(
                rule=r,
                checked=coverage.count(is_checked=True),
                not_checked=coverage.count(is_checked=False),
                dropped=dropped[r],
                example=example.get(r, ""),
                coverage=[
                    CoverageShare(is_checked=c.is_checked, text=c.text, episodes=sum(by.values()), by_dataset=by)
                    for c, by in coverage.lines(verdicts.texts["dataset"])
                ],
                notes=verdicts.notes.get(r, []),
            )
            for r, coverage in verdicts.coverage.items()
        ],
        kept_by_dataset=dict(keeps),
        dropped_by_dataset={name: dict(sorted(rules.items())) for name, rules in lost.items()},
        trimmed=trimmed,
        steps_trimmed=steps,
        measured=0,
        unreadable=dropped["unreadable"],
        seconds=0.0,
    )


def _last_recipe(corpus: Corpus, otherwise: str) -> str:
    """Tell by which recipe a corpus was curated last."""
    runs = corpus.runs().sort_by("started_at").select(["command", "config"]).to_pylist()
    used = [json.loads(run["config"]).get("recipe") for run in runs if run["command"] == "curate"]
    return used[-1] if used and used[-1] else otherwise


def explain(corpus: Corpus, wanted: str, recipe: str) -> ExplainReport:
    """Check the corpus by the numbers in it, as rules that compare need all of them, and tell of one episode.

    The first letters of its id are enough.
    """
    rules = load_recipe(recipe)
    if not {*quality_columns(rules), ERROR} <= set(corpus.schema.names):
        raise DataEngineError(f"{corpus.uri}: not measured by these rules yet; run `villa curate {corpus.uri}` first")
    verdicts = decide.check(corpus, rules)
    episode_id = find_episode(corpus, wanted)
    row = verdicts.texts["episode_id"].index(episode_id)
    if verdicts.table[ERROR][row].as_py() is None:
        raise DataEngineError(f"episode '{episode_id}' came after the last measurement; run `villa curate` first")
    reason = verdicts.reason[row]
    return ExplainReport(
        episode_id=episode_id,
        dataset=verdicts.texts["dataset"][row],
        recipe=recipe,
        keep=not reason,
        reason=reason,
        trimmed=(int(verdicts.trimmed[row][0]), int(verdicts.trimmed[row][1])),
        verdicts=[_verdict(rule, stage, verdicts, row) for rule, stage in rules.items()],
    )


def _verdict(rule: str, stage: Stage, verdicts: Verdicts, row: int) -> Verdict:
    """Say what one rule saw; a rule that compares checks only what the others keep."""
    numbers = decide.quality_of(verdicts, stage, row)
    coverage = _coverage(rule, stage, verdicts, row)
    says: str | None = None
    if coverage.is_checked:
        if verdicts.rule[row] == rule:
            says = verdicts.reason[row].removeprefix(f"{rule}: ")
        elif isinstance(stage, Trims):
            head, tail = stage.trim(numbers)
            says = f"without {head} steps at the head and {tail} at the tail" if head or tail else None
        elif isinstance(stage, Rejects):
            says = stage.reject(numbers)
    warning = stage.warning(numbers) if isinstance(stage, Warns) and not says else None
    compared = [name for name in stage.limits.values() if name in verdicts.compared]
    numbers |= {name: float(verdicts.compared[name][row]) for name in compared}
    return Verdict(
        rule=rule,
        numbers={name: None if np.isnan(x) else x for name, x in numbers.items()},
        thresholds=asdict(stage),  # type: ignore[call-overload]
        bounds=dict(stage.limits),
        checked=coverage.is_checked,
        coverage=coverage.text,
        reason=says,
        warning=warning,
    )


def _coverage(rule: str, stage: Stage, verdicts: Verdicts, row: int) -> Coverage:
    """Say whether one rule checked an episode, or would have if no rule before it had dropped it."""
    if verdicts.texts["kind"][row] not in stage.kinds:
        return unchecked(NOT_FOR[verdicts.texts["kind"][row]])
    noted = verdicts.coverage[rule].of(row)
    if noted is None and isinstance(stage, Rejects | Trims):
        noted = stage.coverage(decide.seen_of(verdicts, stage, row))
    return noted or unchecked("only what no other rule drops is compared")
