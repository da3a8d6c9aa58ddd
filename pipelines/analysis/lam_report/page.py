"""The page of `villa lam report`: one file of HTML, pictures in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.analysis.lam_report.nearest import NearestExample, Nearness, ShownPair
from pipelines.analysis.lam_report.report import LamReport, signed
from pipelines.html.heat_map import heat_map
from pipelines.html.page import Section, cards, note, page
from pipelines.html.templates import macros
from pipelines.output.folder import Before, OutputFolder, page_with

OLD_PAGE = Before(
    r"index\.html|report\.json|pictures/(pair-\d+-\d+\.jpg|(painted|predicted|shifted)-\d+\.png)",
    page_with("Inside a latent action model"),
)
TEMPLATE = "analysis/lam_report/page.html"
WIDTH, GAP, LEAST = 1032, 15, 150
"""Of a row of the figure, of what lies between its pictures, and of the smallest picture, in pixels of the page."""
MOST_ROWS = 12
DISTANCE_NAMES = {"euclid": "Euclidean distance", "cosine": "cosine distance (1 - cosine)"}


def write_page(out: OutputFolder, report: LamReport) -> None:
    """Write the page into a folder that has the pictures."""
    sections = [
        Section("pairs", "Which pairs", _pairs(report)),
        Section("nearest", "Same latent action, other embodiment", _nearest(out.root, report)),
        Section("controls", "Is it the action, or the camera?", _controls(out.root, report)),
        Section("codes", "Codes", _codes(report)),
        Section("pictures", "What the latent action says of the next frame", _pictures(out.root, report)),
    ]
    lead = f"{report.lam}, looked at on {report.corpus}"
    top = cards(_figures(report)) + (note("What to know first", report.notes, limits=True) if report.notes else "")
    foot = f"villa lam report; all numbers are in report.json beside this page ({report.seconds:.0f} s)"
    out.write("index.html", page("Inside a latent action model", lead, top, sections, foot))


def _figures(report: LamReport) -> list[tuple[object, str, str]]:
    """Pick the few numbers that matter."""
    ratio, shuffled = (float(np.mean([getattr(v, n) for v in report.visual])) for n in ("ratio", "shuffled_ratio"))
    least = min(p for use in report.codes for p in use.perplexity)
    figures: list[tuple[object, str, str]] = [
        (f"{report.codes_used} of {report.num_codes}", "codes in use", f"least perplexity of a slot {least:.1f}"),
        (f"{ratio:.2f}", "error of the next frame", f"copying is 1; with another pair's latent {shuffled:.2f}"),
    ]
    held, chance, shifted = report.hold_still
    figures.append((f"{held:.0%}", "same code when nothing moves", f"real pairs have it in {chance:.0%}"))
    figures.append((f"{shifted:.0%}", "same code when the camera moves", "100% would be blind to the camera"))
    if report.direction:
        nearest, random = report.direction
        figures.append((signed(nearest), "same direction in another embodiment", f"of any pair {signed(random)}"))
    return figures


def _pairs(report: LamReport) -> str:
    rows = [[g.group, g.embodiment, g.kind, g.steps, g.episodes, g.pairs, g.status] for g in report.groups]
    return macros(TEMPLATE).pairs(report, rows)


def _nearest(folder: Path, report: LamReport) -> str:
    known = [n for n in report.nearness if n.direction is not None]
    ways = {
        own: [[n.query, _among(n), n.pairs, n.direction, n.direction_random] for n in known if _is_own(n) == own]
        for own in (True, False)
    }
    distances = [
        [n.query, _among(n), n.pairs, *(_number(x) for x in (n.distance, n.equal_codes, n.equal_codes_random))]
        for n in report.nearness
    ]
    examples = [_example(example, report.slots) for example in report.examples]
    return macros(TEMPLATE).nearest(
        folder,
        examples,
        DISTANCE_NAMES[report.distance],
        ways[True],
        ways[False],
        MOST_ROWS,
        _agreement(report),
        distances,
    )


def _is_own(n: Nearness) -> bool:
    return n.among == n.query


def _among(n: Nearness) -> str:
    if n.among != n.query:
        return n.among
    return "its other tasks" if n.other_tasks else "its other episodes"


def _agreement(report: LamReport) -> str:
    """Draw which share of its codes a pair has in common with the nearest one of each group."""
    names = [g.group for g in report.groups]
    shares = {(n.query, n.among): n.equal_codes for n in report.nearness if not n.other_tasks}
    rows = {f"{i + 1}  {a}": [shares.get((a, b)) for b in names] for i, a in enumerate(names)}
    return heat_map("Share of slots with the code of the nearest pair", {"": rows}, _numbers(names), top=1.0)


def _numbers(names: Sequence[str]) -> list[str]:
    return [str(i + 1) for i in range(len(names))]


def _example(example: NearestExample, slots: int) -> tuple[int, ShownPair, str, list[tuple[ShownPair, str]]]:
    """Width of its pictures, then the query and the nearest pairs with their captions."""
    query, others = example.query, example.nearest
    caption = f"query, frame {query.frame}, codes {' '.join(map(str, query.codes))}"
    at_least_px = max(WIDTH // (len(others) + 1) - GAP, LEAST)
    return at_least_px, query, caption, [(shown, _caption(shown, slots)) for shown in others]


def _caption(shown: ShownPair, slots: int) -> str:
    way = f", cosine {signed(shown.direction)}" if shown.direction is not None else ""
    return f"at {shown.distance:.2f}, {shown.equal_codes} of {slots} codes{way}"


def _number(value: float | None) -> object:
    return "" if value is None else value


def _codes(report: LamReport) -> str:
    held = {c.said.embodiment: c.said.real_tuple for c in report.controls}
    rows = [
        [
            *(use.group, use.tuples, f"{use.commonest:.1%}", f"{held[use.group]:.1%}"),
            ", ".join(map(str, use.used)),
            ", ".join(f"{p:.1f}" for p in use.perplexity),
        ]
        for use in report.codes
    ]
    shares = {use.group: _shares(use.counts) for use in report.codes}
    top = max(float(share.max()) for share in shares.values())
    slots = {
        f"slot {slot}": {name: share[slot].tolist() for name, share in shares.items()} for slot in range(report.slots)
    }
    columns = [str(code) for code in range(report.num_codes)]
    drawn = heat_map("Share of pairs with each code", slots, columns, top=top)
    return macros(TEMPLATE).codes(rows, drawn, _overlap(report))


def _shares(counts: Sequence[Sequence[int]]) -> np.ndarray:
    table = np.asarray(counts, dtype=np.float64)
    return table / table.sum(axis=1, keepdims=True)


def _overlap(report: LamReport) -> str:
    names = [g.group for g in report.groups]
    distances = {frozenset((d.one, d.other)): d.distance for d in report.code_distances}
    rows = {
        f"{i + 1}  {name}": [distances.get(frozenset((name, other))) for other in names] for i, name in enumerate(names)
    }
    return heat_map("Distance of codes", {"": rows}, _numbers(names), top=1.0)


def _pictures(folder: Path, report: LamReport) -> str:
    rows = [[v.embodiment, v.pairs, v.ratio, v.shuffled_ratio, v.copy_frame] for v in report.visual]
    return macros(TEMPLATE).pictures(folder, rows, report.sheets)


def _controls(folder: Path, report: LamReport) -> str:
    px = report.controls[0].said.shift_px
    still = [
        [s.embodiment, s.frames, min(s.hold_slots), s.hold_still, s.hold_tuple, s.real_slots, s.real_tuple]
        for s in (c.said for c in report.controls)
    ]
    shifted = [
        [
            *(c.said.embodiment, c.said.shift_slots, c.said.shift_tuple, c.said.shift_size, c.said.hold_size),
            *(c.shift_ratio, *(_number(way) for way in (c.hold_way, c.shift_way, c.real_way))),
        ]
        for c in report.controls
    ]
    return macros(TEMPLATE).controls(folder, px, still, shifted, report.shifted)
