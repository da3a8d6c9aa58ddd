"""The figure of the villa-X paper: pairs of frames of different embodiments with the same latent action.

Pictures can be picked; numbers beside them cannot. For every two groups, `compare` looks up the nearest pair of every
pair that moves, and says whether codes and the hand's direction agree more than with any pair of that group.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dataengine import texts
from dataengine.report import Report
from dataengine.store import Corpus
from pipelines.analysis.groups import PairGroup, read_pictures
from pipelines.analysis.lam_report.measures import Distance, Floats, directions, distances, examples, mean_over, nearest
from pipelines.analysis.lam_report.predict import Predicted
from pipelines.output.folder import OutputFolder

SIDE, GAP, QUALITY = 128, 4, 88
"""Of the pictures in the figure: pixels, pixels, per cent."""
MOVING = (0.5, 0.9)
"""Queries are pairs whose picture changes more than half of the others, less than the top tenth: cuts and flashes."""


class Nearness(Report):
    """Whether the pairs of `among` that lie nearest to the moving pairs of `query` do the same."""

    query: str
    among: str
    """The same group again: then only pairs of other episodes count."""
    other_tasks: bool = False
    """Whether only pairs of which something else is said count."""
    pairs: int
    """Queries."""
    distance: float | None
    """Mean distance to the nearest pair."""
    equal_codes: float | None
    """Share of slots with the same code, in the nearest pair."""
    equal_codes_random: float | None
    """The same, averaged over all pairs of `among`."""
    direction: float | None = None
    """Mean cosine between the ways that the two hands went, each in its own frame; a hand that rests counts 0."""
    direction_random: float | None = None


class ShownPair(Report):
    """One pair of frames in the figure."""

    group: str
    episode_id: str
    frame: int
    picture: str
    codes: list[int]
    distance: float = 0.0
    equal_codes: int = 0
    direction: float | None = None
    """Cosine with the query's way, where both have one."""


class NearestExample(Report):
    """A query and, in every other group, the pair nearest to it."""

    query: ShownPair
    nearest: list[ShownPair]


def compare(query: PairGroup, among: PairGroup, kind: Distance, *, other_tasks: bool = False) -> Nearness:
    """Measure how alike a group's moving pairs and their nearest in another group are."""
    way = None if query.motion is None else directions(query.motion)
    asked = np.ones(len(query.codes), dtype=bool) if way is None else way.any(axis=1)
    far = distances(query.flat[asked], among.flat, kind)
    allowed = _differ(query, among)[asked]
    if other_tasks:
        allowed &= _said(query)[asked, None] != _said(among)[None]
    marked = nearest(far, allowed)
    equal = (query.codes[asked, None] == among.codes[None]).mean(axis=2)
    cosine: Floats | None = None
    if way is not None and among.motion is not None and among.motion.shape[1] == way.shape[1]:
        cosine = way[asked] @ directions(among.motion).T
    return Nearness(
        query=query.title,
        among=among.title,
        other_tasks=other_tasks,
        pairs=int(allowed.any(axis=1).sum()),
        distance=_round(mean_over(far, marked)),
        equal_codes=_round(mean_over(equal, marked)),
        equal_codes_random=_round(mean_over(equal, allowed)),
        direction=_round(None if cosine is None else mean_over(cosine, marked)),
        direction_random=_round(None if cosine is None else mean_over(cosine, allowed)),
    )


def _differ(query: PairGroup, among: PairGroup) -> NDArray[np.bool_]:
    """(n, n') which pairs may be compared: not those of one episode, nearly all of which are alike."""
    names = [np.array([e.episode_id for e in g.picks.episodes])[g.picks.episode] for g in (query, among)]
    return names[0][:, None] != names[1][None]


def _said(group: PairGroup) -> NDArray[np.str_]:
    """(n,) what holds at the first frame of each pair."""
    picks = group.picks
    pairs = zip(picks.episode.tolist(), picks.row.tolist(), strict=True)
    return np.array([str([t.phrases for t in texts.at(picks.episodes[e].texts, row)]) for e, row in pairs], np.str_)


def pick_queries(groups: Sequence[PairGroup], predicted: Sequence[Predicted], count: int) -> list[tuple[int, int]]:
    """Choose (group, pair) queries in turn from every group: the middles of clusters of its moving pairs."""
    each = ceil(count / len(groups))
    picks = []
    for group, of_group in zip(groups, predicted, strict=True):
        low, high = np.quantile(of_group.change, MOVING)
        moving = of_group.which[(of_group.change >= low) & (of_group.change <= high)]
        picks.append(moving[examples(group.flat[moving], each)])
    return [(g, int(mine[turn])) for turn in range(each) for g, mine in enumerate(picks) if turn < len(mine)][:count]


def show_examples(
    corpus: Corpus,
    slot: str,
    groups: Sequence[PairGroup],
    queries: Sequence[tuple[int, int]],
    kind: Distance,
    out: OutputFolder,
) -> list[NearestExample]:
    """Find the nearest pair in every other group, or in other episodes of the only one, and draw them all."""
    wanted: list[tuple[int, int]] = list(queries)
    rows: list[list[tuple[int, int, float]]] = []
    for turn, (g, i) in enumerate(queries):
        mine = groups[g]
        row = []
        for other, among in enumerate(groups):
            if other == g and len(groups) > 1:
                continue
            far = distances(mine.flat[[i]], among.flat, kind)
            ties = np.flatnonzero(nearest(far, _differ(mine, among)[[i]])[0])
            if len(ties):  # of many equal ones, not always the first
                j = int(ties[turn % len(ties)])
                row.append((other, j, float(far[0, j])))
        rows.append(row)
        wanted += [(other, j) for other, j, _ in row]
    pictures = _draw(corpus, slot, groups, wanted, out)
    return [
        NearestExample(
            query=_shown(groups[g], i, pictures[g, i]),
            nearest=[
                _shown(groups[other], j, pictures[other, j], (groups[g], i, distance)) for other, j, distance in row
            ],
        )
        for (g, i), row in zip(queries, rows, strict=True)
    ]


def _draw(
    corpus: Corpus, slot: str, groups: Sequence[PairGroup], wanted: Sequence[tuple[int, int]], out: OutputFolder
) -> Mapping[tuple[int, int], Path]:
    """Write both frames of every pair side by side."""
    files = {}
    for g, group in enumerate(groups):
        which = np.array(sorted({i for of, i in wanted if of == g}), dtype=np.int64)
        before, after = read_pictures(corpus, slot, group.picks, which, SIDE)
        gap = np.full((SIDE, GAP, 3), 255, np.uint8)
        for i, one, two in zip(which.tolist(), before, after, strict=True):
            file = out.path(f"pictures/pair-{g}-{i}.jpg")
            sheet = np.concatenate([one, gap, two], axis=1)
            file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(sheet), quality=QUALITY))
            files[g, i] = file
    return files


def _shown(group: PairGroup, i: int, picture: Path, to: tuple[PairGroup, int, float] | None = None) -> ShownPair:
    shown = ShownPair(
        group=group.title,
        episode_id=group.picks.episodes[group.picks.episode[i]].episode_id,
        frame=int(group.picks.row[i]),
        picture=f"{picture.parent.name}/{picture.name}",
        codes=group.codes[i].tolist(),
    )
    if to is None:
        return shown
    query, j, distance = to
    direction = None
    if query.motion is not None and group.motion is not None and query.motion.shape[1] == group.motion.shape[1]:
        ways = directions(query.motion)[j], directions(group.motion)[i]
        direction = float(ways[0] @ ways[1]) if all(way.any() for way in ways) else None
    return shown.model_copy(
        update={
            "distance": round(distance, 4),
            "equal_codes": int((query.codes[j] == group.codes[i]).sum()),
            "direction": _round(direction),
        }
    )


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
