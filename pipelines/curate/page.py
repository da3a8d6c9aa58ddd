"""The page beside a curation: what every rule dropped, examples to look at, and where the thresholds lie."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import simplejpeg

from dataengine import texts
from dataengine.curation.film import main_camera
from dataengine.curation.stage import Stage, Trims
from dataengine.errors import DataEngineError
from dataengine.store import Corpus, StoredEpisode
from pipelines.curate.decide import Verdicts
from pipelines.curate.report import CurateReport, RuleFacts
from pipelines.html import charts, page
from pipelines.output.folder import OutputFolder

EXAMPLES = 6
"""Episodes shown for a rule, from as many datasets as it dropped from."""
FRAMES = 8
LEAST_SIDE = 96
"""Pixels to which frames are scaled down at most."""
OTHER_EPISODE = re.compile(r"repeats episode (\w+)")
CURVES = 6
"""Values drawn of a vector at most: two hands, or the joints of an arm."""


def write_page(
    out: OutputFolder, corpus: Corpus, rules: Mapping[str, Stage], found: Verdicts, report: CurateReport
) -> None:
    """Write the page, with the pictures in it."""
    out.remove("examples/*")
    shown = Corpus.open(corpus.uri)
    sections = [_overview(report)]
    sections += [_rule(facts, rules[facts.rule], shown, found, out) for facts in report.rules]
    lead = f"{report.corpus}, judged by the recipe '{report.recipe}'"
    top = [
        page.cards(
            [
                (f"{report.episodes:,}", "episodes", ""),
                (f"{report.kept:,}", "kept", f"{report.kept / max(report.episodes, 1):.1%}"),
                (f"{report.dropped:,}", "dropped", f"{report.unreadable:,} of them could not be measured"),
                (f"{report.trimmed:,}", "trimmed", f"{report.steps_trimmed:,} idle steps left out"),
            ]
        )
    ]
    foot = "Nothing was deleted: another recipe or threshold reads the measured columns alone and decides anew."
    out.write("index.html", page.page("Curation", lead, top, sections, foot))


def _overview(report: CurateReport) -> page.Section:
    """Count what went, by rule and by dataset."""
    rules = [[r.rule, r.judged, r.not_judged, r.dropped, r.example] for r in report.rules]
    blocks = [page.table(["rule", "judged", "not judged", "dropped", "one of its reasons"], rules)]
    rows = [
        [name, report.kept_by_dataset[name], sum(lost.values()), ", ".join(f"{rule} {n:,}" for rule, n in lost.items())]
        for name, lost in report.dropped_by_dataset.items()
    ]
    blocks.append(page.table(["dataset", "kept", "dropped", "by which rules"], rows))
    return page.Section("overview", "What went", blocks)


def _rule(facts: RuleFacts, stage: Stage, corpus: Corpus, found: Verdicts, out: OutputFolder) -> page.Section:
    """Say what a rule is about and what it could not judge, draw its numbers, and show what it dropped."""
    rule, about = facts.rule, inspect.getdoc(type(stage)) or ""
    thresholds = asdict(stage)  # type: ignore[call-overload]
    blocks: list[str] = [page.paragraph(part.replace("\n", " ")) for part in about.split("\n\n")]
    blocks.append(page.paragraph(", ".join(f"{name} {value:g}" for name, value in thresholds.items())))
    blocks += [page.paragraph(note) for note in facts.told()]
    blocks.append(page.charts(*_histograms(stage, thresholds, found)))
    if isinstance(stage, Trims):
        rows = np.flatnonzero(found.trimmed.sum(axis=1) > 0).tolist()
        captions = {
            row: f"without {found.trimmed[row][0]} and {found.trimmed[row][1]} steps at its ends" for row in rows
        }
    else:
        rows = [row for row, name in enumerate(found.rule) if name == rule]
        captions = {row: found.reason[row].removeprefix(f"{rule}: ") for row in rows}
    what = f"{len(rows):,} {'trimmed' if isinstance(stage, Trims) else 'dropped'}"
    if rows:
        blocks.append(page.heading(f"Examples of {what}"))
        for row in _chosen(rows, found.words["dataset"]):
            blocks += _example(corpus, found.words["episode_id"][row], captions[row], out)
    else:
        blocks.append(
            page.paragraph(f"{facts.judged:,} judged, {facts.not_judged:,} not judged, none {what.split()[1]}.")
        )
    return page.Section(rule, rule.replace("_", " "), blocks)


def _histograms(stage: Stage, thresholds: Mapping[str, float], found: Verdicts) -> Iterator[str]:
    """Draw each number with the thresholds that bound it."""
    for name in dict.fromkeys([*stage.columns, *stage.limits.values()]):
        if name not in stage.columns and name not in found.compared:
            continue
        marks = {
            threshold: float(thresholds[threshold]) for threshold, bounded in stage.limits.items() if bounded == name
        }
        yield charts.histogram(name, found.numbers(name), marks)


def _chosen(rows: Sequence[int], datasets: Sequence[str]) -> list[int]:
    """Take a few rows, in turn from each dataset."""
    by_dataset: dict[str, list[int]] = {}
    for row in rows:
        by_dataset.setdefault(datasets[row], []).append(row)
    turns = sorted(
        (turn, dataset, row) for dataset, mine in by_dataset.items() for turn, row in enumerate(mine[:EXAMPLES])
    )
    return [row for _, _, row in turns[:EXAMPLES]]


def _example(corpus: Corpus, episode_id: str, caption: str, out: OutputFolder) -> Iterator[str]:
    """Show frames and curves of an episode, and the frames of the one that it repeats."""
    episode = corpus.episode(episode_id)
    said = texts.summary(episode.texts, episode.num_steps) or "no instruction"
    words = f"{episode.dataset} · {episode_id} · {said}: {caption}"
    yield from _strip(episode, words, out)
    other = OTHER_EPISODE.search(caption)
    if other:
        yield from _strip(corpus.episode(other.group(1)), f"the episode that stays: {other.group(1)}", out)
    if episode.state is not None:
        yield page.folded("state and action over time", page.charts(*_curves(episode)))


def _strip(episode: StoredEpisode, words: str, out: OutputFolder) -> Iterator[str]:
    """Set a few frames side by side."""
    slot = main_camera(episode.cameras)
    if not slot:
        yield page.paragraph(words)
        return
    steps = np.unique(np.linspace(0, episode.num_steps - 1, FRAMES).round().astype(int)).tolist()
    seconds = [f"{step / episode.control_hz:.1f} s" for step in steps]
    try:
        jpegs = episode.jpegs(slot, steps)
        frames = [simplejpeg.decode_jpeg(j, "RGB", min_height=LEAST_SIDE, min_width=LEAST_SIDE) for j in jpegs]
        file = out.path(f"examples/{episode.episode_id}.jpg")
        file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.concatenate(frames, axis=1)), quality=85))
    except (ValueError, DataEngineError) as error:
        yield page.paragraph(f"{words} (its pictures cannot be read: {' '.join(str(error).split())})")
        return
    yield page.picture(file, words, columns=seconds)


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
