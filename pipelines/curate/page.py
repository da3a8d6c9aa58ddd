"""The page beside a curation: what every rule dropped, examples to look at, and where the thresholds lie."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import simplejpeg

from dataengine import texts
from dataengine.camera_names import camera_key, camera_title
from dataengine.curation.film import main_camera
from dataengine.curation.stage import Stage, Trims
from dataengine.errors import DataEngineError
from dataengine.spread import spread
from dataengine.store import Corpus, StoredEpisode
from pipelines.curate.decide import Verdicts
from pipelines.curate.report import CurateReport, RuleFacts, shown_threshold
from pipelines.html import charts
from pipelines.html.page import Section, cards, page
from pipelines.html.templates import macros
from pipelines.output.folder import OutputFolder

TEMPLATE = "curate/page.html"
EXAMPLES = 6
"""Episodes shown for a rule, from as many datasets as it dropped from."""
FRAMES = 8
LEAST_SIDE = 96
"""Pixels to which frames are scaled down at most."""
OTHER_EPISODE = re.compile(r"repeats episode (\w+)")
CURVES = 6
"""Values drawn of a vector at most: two hands, or the joints of an arm."""


@dataclass(frozen=True)
class EpisodeStrip:
    """Frames of an episode side by side, or only what there is to say of it."""

    caption: str
    picture: Path | None = None
    seconds: Sequence[str] = ()


@dataclass(frozen=True)
class RuleExample:
    """One episode of a rule: its frames, those of the one that it repeats, and its curves."""

    strips: Sequence[EpisodeStrip]
    curves: Sequence[str]


def write_page(
    out: OutputFolder, corpus: Corpus, rules: Mapping[str, Stage], verdicts: Verdicts, report: CurateReport
) -> None:
    """Write the page, with the pictures in it."""
    out.remove("examples/*")
    shown = Corpus.open(corpus.uri)
    sections = [Section("overview", "What went", _overview(report))]
    sections += [
        Section(facts.rule, facts.rule.replace("_", " "), _rule(facts, rules[facts.rule], shown, verdicts, out))
        for facts in report.rules
    ]
    lead = f"{report.corpus}, curated by the recipe '{report.recipe}'"
    figures: list[tuple[object, str, str]] = [
        (f"{report.episodes:,}", "episodes", ""),
        (f"{report.kept:,}", "kept", f"{report.kept / max(report.episodes, 1):.1%}"),
        (f"{report.dropped:,}", "dropped", f"{report.unreadable:,} of them could not be measured"),
        (f"{report.trimmed:,}", "trimmed", f"{report.steps_trimmed:,} idle steps left out"),
    ]
    foot = "Nothing was deleted: another recipe or threshold reads the measured columns alone and decides anew."
    out.write("index.html", page("Curation", lead, cards(figures), sections, foot))


def _overview(report: CurateReport) -> str:
    """Count what went, by rule and by dataset."""
    rules = [[r.rule, r.checked, r.not_checked, r.dropped, r.example] for r in report.rules]
    datasets = [
        [name, report.kept_by_dataset[name], sum(lost.values()), ", ".join(f"{rule} {n:,}" for rule, n in lost.items())]
        for name, lost in report.dropped_by_dataset.items()
    ]
    return macros(TEMPLATE).overview(rules, datasets)


def _rule(facts: RuleFacts, stage: Stage, corpus: Corpus, verdicts: Verdicts, out: OutputFolder) -> str:
    """Say what a rule is about and what it could not check, draw its numbers, and show what it dropped."""
    about = [part.replace("\n", " ") for part in (inspect.getdoc(type(stage)) or "").split("\n\n")]
    thresholds = asdict(stage)  # type: ignore[call-overload]
    captions = _captions(facts.rule, stage, verdicts)
    examples = [
        _example(corpus, verdicts.texts["episode_id"][row], captions[row], out)
        for row in _chosen(list(captions), verdicts.texts["dataset"])
    ]
    return macros(TEMPLATE).rule(
        about,
        ", ".join(f"{name} {shown_threshold(value)}" for name, value in thresholds.items()),
        facts,
        list(_histograms(stage, thresholds, verdicts)),
        "trimmed" if isinstance(stage, Trims) else "dropped",
        len(captions),
        examples,
    )


def _captions(rule: str, stage: Stage, verdicts: Verdicts) -> dict[int, str]:
    """Say of each row that the rule trimmed or dropped what it left out, or why."""
    if isinstance(stage, Trims):
        rows = np.flatnonzero(verdicts.trimmed.sum(axis=1) > 0).tolist()
        return {
            row: f"without {verdicts.trimmed[row][0]} and {verdicts.trimmed[row][1]} steps at its ends" for row in rows
        }
    return {
        row: verdicts.reason[row].removeprefix(f"{rule}: ") for row, name in enumerate(verdicts.rule) if name == rule
    }


def _histograms(stage: Stage, thresholds: Mapping[str, float], verdicts: Verdicts) -> Iterator[str]:
    """Draw each number with the thresholds that bound it."""
    for name in dict.fromkeys([*stage.columns, *stage.limits.values()]):
        if name not in stage.columns and name not in verdicts.compared:
            continue
        marks = {
            threshold: float(thresholds[threshold]) for threshold, bounded in stage.limits.items() if bounded == name
        }
        yield charts.histogram(name, verdicts.numbers(name), marks)


def _chosen(rows: Sequence[int], datasets: Sequence[str]) -> list[int]:
    """Take a few rows, in turn from each dataset."""
    by_dataset: dict[str, list[int]] = {}
    for row in rows:
        by_dataset.setdefault(datasets[row], []).append(row)
    turns = sorted(
        (turn, dataset, row) for dataset, mine in by_dataset.items() for turn, row in enumerate(mine[:EXAMPLES])
    )
    return [row for _, _, row in turns[:EXAMPLES]]


def _example(corpus: Corpus, episode_id: str, caption: str, out: OutputFolder) -> RuleExample:
    """Show frames and curves of an episode, and the frames of the one that it repeats."""
    episode = corpus.episode(episode_id)
    said = texts.summary(episode.texts, episode.num_steps) or "no instruction"
    strips = [_strip(episode, f"{episode.dataset} · {episode_id} · {said}: {caption}", out)]
    other = OTHER_EPISODE.search(caption)
    if other:
        strips.append(_strip(corpus.episode(other.group(1)), f"the episode that stays: {other.group(1)}", out))
    return RuleExample(strips, list(_curves(episode)) if episode.state is not None else [])


def _strip(episode: StoredEpisode, caption: str, out: OutputFolder) -> EpisodeStrip:
    """Set a few frames side by side."""
    slot = main_camera(episode.cameras)
    if not slot:
        return EpisodeStrip(caption)
    if camera_key(slot, episode.notes):
        caption = f"{caption} (camera {camera_title(slot, episode.notes)})"
    steps = spread(episode.num_steps, FRAMES).tolist()
    seconds = [f"{step / episode.control_hz:.1f} s" for step in steps]
    try:
        jpegs = episode.jpegs(slot, steps)
        frames = [simplejpeg.decode_jpeg(j, "RGB", min_height=LEAST_SIDE, min_width=LEAST_SIDE) for j in jpegs]
        file = out.path(f"examples/{episode.episode_id}.jpg")
        file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.concatenate(frames, axis=1)), quality=85))
    except (ValueError, DataEngineError) as error:
        return EpisodeStrip(f"{caption} (its pictures cannot be read: {' '.join(str(error).split())})")
    return EpisodeStrip(caption, file, seconds)


def _curves(episode: StoredEpisode) -> Iterator[str]:
    """Draw positions or else joints, and openings of grippers with what was commanded."""
    seconds = (np.arange(episode.num_steps) / episode.control_hz).tolist()
    grippers = []
    for name, said, vector in (("state", "measured", episode.state), ("action", "commanded", episode.action)):
        if vector is None:
            continue
        layout = episode.layout(name)
        kinds = (("hand", layout.position), ("joints", layout.joints), ("first dimensions", range(layout.dim)))
        kind, indices = next((kind, indices) for kind, indices in kinds if len(indices))
        curves = [(layout.name(i), vector[:, i].astype(float).tolist()) for i in indices[:CURVES]]
        lines = [charts.Series(curve, seconds, values) for curve, values in curves]
        yield charts.line_chart(f"{name}: {kind}", lines, x_label="s")
        for i in layout.grippers:
            which = f"{said} {layout.name(i)}" if len(layout.grippers) > 1 else said
            grippers.append(charts.Series(which, seconds, vector[:, i].astype(float).tolist()))
    if grippers:
        yield charts.line_chart("gripper", grippers, x_label="s")
