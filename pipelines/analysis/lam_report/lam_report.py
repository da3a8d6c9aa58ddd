"""What is in a latent action? One page about one model: pairs that it calls alike, its codes, pictures, controls."""

import time
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydantic import Field

from dataengine.config import MOST, MOST_WORKERS, Config
from dataengine.progress import task
from dataengine.spread import spread
from dataengine.store import Corpus
from pipelines.analysis.groups import PairGroup, choose_pairs, episodes_seen_by, origin, read_groups, read_pictures
from pipelines.analysis.lam_report.controls import look
from pipelines.analysis.lam_report.measures import Distance, code_counts, jensen_shannon, perplexity
from pipelines.analysis.lam_report.nearest import Nearness, compare, pick_queries, show_examples
from pipelines.analysis.lam_report.predict import predict
from pipelines.analysis.lam_report.report import CodeDistance, CodeUse, LamReport, PairGroupFacts
from pipelines.analysis.latents import LatentSource, find_models
from pipelines.output.folder import OutputFolder, claimed, roots_of


class LamReportConfig(Config):
    """Which model to look into, on which pictures."""

    renamed = MappingProxyType({"most_painted": "most_predicted"})

    corpus: str
    """Directory or object-store URI."""
    lam: Path
    """Directory of the latent action model, ours or a released one."""
    out: Path
    """Folder for `index.html`, `report.json` and the pictures."""
    slot: str = "primary"
    """Camera whose frames are read."""
    interval_s: float | None = Field(None, gt=0, le=3600)
    """Seconds between the two frames of a pair; by default those of the labels in the corpus, or else the model's."""
    most: int = Field(300, ge=2, le=MOST)
    """Most pairs of each embodiment in each dataset."""
    most_predicted: int = Field(64, ge=2, le=MOST)
    """Most pairs of each whose next frame is predicted."""
    queries: int = Field(8, ge=1, le=MOST)
    """Pairs in the figure."""
    distance: Distance = "euclid"
    """Between quantised latent actions: `euclid`, as the quantiser's own, or `cosine`."""
    device: str | None = None
    """`cpu`, `cuda`; by default the best there is."""
    threads: int = Field(2, ge=1, le=MOST_WORKERS)
    """Threads that decode, where the corpus has no labels of this model."""


def run(config: LamReportConfig) -> LamReport:
    """Choose pairs, encode them, predict their next frames, compare them, and write the page."""
    from pipelines.analysis.lam_report.page import OLD_PAGE, write_page

    corpus = Corpus.open(config.corpus)
    sources = roots_of(corpus)
    with claimed(config.out, "lam report", before=OLD_PAGE, sources=sources) as out:
        out.claim("index.html", "report.json")
        report = _run(config, corpus, out)
        write_page(out, report)
        out.write("report.json", report.model_dump_json(indent=1))
    return report


def _run(config: LamReportConfig, corpus: Corpus, out: OutputFolder) -> LamReport:
    """Look into the model, and draw the pictures of the page."""
    start = time.monotonic()
    known = origin(config.lam, corpus)
    source = find(corpus, config)
    lam = source.lam
    assert lam is not None
    choices = choose_pairs(episodes_seen_by(corpus, config.slot), source.interval_s, known, config.most)
    with task("latent actions", sum(len(c.picks.row) for c in choices), "pairs") as live:
        groups = read_groups(corpus, source, lam, choices, config.threads, live.advance)
    out.remove("pictures/*")
    predicted, controls = [], []
    with task("predict", 2 * sum(min(len(g.codes), config.most_predicted) for g in groups), "pairs") as live:
        for i, g in enumerate(groups):
            which = spread(len(g.codes), config.most_predicted)
            before, after = read_pictures(corpus, config.slot, g.picks, which, lam.config.resolution)
            predicted.append(
                predict(lam, g, which, before, after, out.path(f"pictures/predicted-{i}.png"), live.advance)
            )
            controls.append(look(lam, g, which, before, after, out.path(f"pictures/shifted-{i}.png")))
            live.advance(len(which))
    queries = pick_queries(groups, predicted, config.queries)
    return LamReport(
        corpus=config.corpus,
        lam=str(config.lam),
        page=str(config.out / "index.html"),
        interval_s=source.interval_s,
        labels=source.info.name if source.info else "",
        slots=lam.config.num_slots,
        num_codes=lam.config.num_codes,
        distance=config.distance,
        groups=[facts(g) for g in groups],
        codes_used=len(np.unique(np.concatenate([g.codes.ravel() for g in groups]))),
        codes=[code_use(g, lam.config.num_codes) for g in groups],
        code_distances=code_distances(groups, lam.config.num_codes),
        nearness=nearness(groups, config.distance),
        examples=show_examples(corpus, config.slot, groups, queries, config.distance, out),
        visual=[p.score for p in predicted],
        sheets={g.title: f"pictures/{p.sheet.name}" for g, p in zip(groups, predicted, strict=True)},
        controls=controls,
        shifted={g.title: f"pictures/shifted-{i}.png" for i, g in enumerate(groups)},
        notes=notes(groups),
        seconds=round(time.monotonic() - start, 3),
    )


def find(corpus: Corpus, config: LamReportConfig) -> LatentSource:
    """Load the model; with labels of the same weights, camera and spacing in the corpus, these are read."""
    from dataclasses import replace

    from models.weights import load_lam
    from pipelines.device import pick_device

    device = str(pick_device(config.device))
    (source,) = find_models(corpus, [str(config.lam)], config.slot, device)
    lam = source.lam or load_lam(config.lam, device)
    spacing = config.interval_s or source.interval_s
    info = source.info if spacing == source.interval_s else None
    return replace(source, interval_s=spacing, info=info, lam=lam)


def facts(group: PairGroup) -> PairGroupFacts:
    """Say which pairs these are."""
    return PairGroupFacts(
        group=group.title,
        dataset=group.dataset,
        embodiment=group.embodiment,
        kind=group.kind,
        steps=group.picks.stride,
        episodes=len(np.unique(group.picks.episode)),
        pairs=len(group.codes),
        unreadable=group.unreadable,
        status=group.status,
    )


def code_use(group: PairGroup, num_codes: int) -> CodeUse:
    """Count a group's codes."""
    counts = code_counts(group.codes, num_codes)
    _, repeats = np.unique(group.codes, axis=0, return_counts=True)
    return CodeUse(
        group=group.title,
        counts=counts.tolist(),
        used=(counts > 0).sum(axis=1).tolist(),
        perplexity=[round(float(p), 3) for p in perplexity(counts)],
        commonest=round(float(repeats.max() / repeats.sum()), 4),
        tuples=len(repeats),
    )


def code_distances(groups: Sequence[PairGroup], num_codes: int) -> list[CodeDistance]:
    """Compare the codes of every two groups, and of two halves of each that has several episodes."""
    distances = []
    for i, one in enumerate(groups):
        halves = np.unique(one.picks.episode, return_inverse=True)[1] % 2
        if halves.any():
            sides = [code_counts(one.codes[halves == side], num_codes) for side in (0, 1)]
            distances.append(CodeDistance(one=one.title, other=one.title, distance=round(jensen_shannon(*sides), 4)))
        for other in groups[i + 1 :]:
            sides = [code_counts(g.codes, num_codes) for g in (one, other)]
            distances.append(CodeDistance(one=one.title, other=other.title, distance=round(jensen_shannon(*sides), 4)))
    return distances


def nearness(groups: Sequence[PairGroup], kind: Distance) -> list[Nearness]:
    """Compare every group with every other, with its own other episodes, and with those of other tasks."""
    comparisons = []
    for query in groups:
        for among in groups:
            comparisons.append(compare(query, among, kind))
            if query is among and query.motion is not None:
                comparisons.append(compare(query, among, kind, other_tasks=True))
    return [n for n in comparisons if n.pairs]


def notes(groups: Sequence[PairGroup]) -> list[str]:
    """Say what could not be looked at, and where figures may flatter."""
    lines = []
    for g in groups:
        if g.unreadable:
            lines.append(f"{g.title}: {g.unreadable} pairs left out, a picture is broken")
        if g.saw and not g.held_out:
            lines.append(f"{g.title}: no episode is held out from training, so these are episodes that it saw")
    moving = [g for g in groups if g.motion is not None]
    if len(moving) < 2:
        lines.append(
            "agreement of direction between embodiments needs two groups whose states are poses of the hand, "
            f"found {len(moving)}"
        )
    if not moving:
        lines.append("without states of hands the controls tell codes and pictures, not ways")
    if len(groups) == 1:
        lines.append("one group alone: the nearest pairs are those of its other episodes")
    return lines
