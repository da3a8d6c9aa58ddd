"""The page of `villa lam report`: one file of HTML, pictures in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.analysis.lam_report.nearest import Example, Nearness, Shown
from pipelines.analysis.lam_report.report import LamReport, signed
from pipelines.html import page
from pipelines.html.heat_map import heat_map
from pipelines.output.folder import Before, OutputFolder, page_with

OLD_PAGE = Before(
    r"index\.html|report\.json|pictures/(pair-\d+-\d+\.jpg|(painted|shifted)-\d+\.png)",
    page_with("Inside a latent action model"),
)
SHEET = ("now", "next", "painted", "error of copying", "error of painting")
WIDTH, GAP, LEAST = 1032, 15, 150
"""Of a row of the figure, of what lies between its pictures, and of the smallest picture, in pixels of the page."""
MOST_ROWS = 12
WORDS = {"euclid": "Euclidean distance", "cosine": "cosine distance (1 - cosine)"}


def write_page(out: OutputFolder, report: LamReport) -> None:
    """Write the page into a folder that has the pictures."""
    folder = out.root
    sections = [
        _pairs(report),
        _nearest(folder, report),
        _controls(folder, report),
        _codes(report),
        _pictures(folder, report),
    ]
    lead = f"{report.lam}, looked at on {report.corpus}"
    top = [page.cards(_figures(report))]
    if report.notes:
        top.append(page.note("What to know first", report.notes, limits=True))
    foot = f"villa lam report; all numbers are in report.json beside this page ({report.seconds:.0f} s)"
    out.write("index.html", page.page("Inside a latent action model", lead, top, sections, foot))


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
        figures.append((signed(nearest), "same direction in another body", f"of any pair {signed(random)}"))
    return figures


def _pairs(report: LamReport) -> page.Section:
    head = ["group", "body", "kind", "K", "episodes", "pairs", "what training saw"]
    rows = [[g.group, g.embodiment, g.kind, g.steps, g.episodes, g.pairs, g.status] for g in report.groups]
    how = (
        f"read from the labels '{report.labels}' of the corpus"
        if report.labels
        else "encoded by the model for this page"
    )
    words = (
        f"A pair is a frame and the one {report.interval_s:g} s (K control steps) later, spread evenly over the"
        f" episodes. Latent actions were {how}."
    )
    return page.Section("pairs", "Which pairs", [page.paragraph(words), page.table(head, rows)])


def _nearest(folder: Path, report: LamReport) -> page.Section:
    blocks: list[str] = [
        page.paragraph(
            f"Each row begins with a pair that moves; beside it stands the pair of every other group whose quantised"
            f" latent action lies nearest, by {WORDS[report.distance]}. Queries are the middles of clusters, taken in"
            " turn from every group; nobody picked them by eye. Captions: distance, equal codes and, where both states"
            " tell where the hand is, the cosine between the ways that the two hands went."
        )
    ]
    blocks += [_example(folder, example, report.slots) for example in report.examples]
    known = [n for n in report.nearness if n.direction is not None]
    if known:
        blocks += [
            page.heading("Do hands that get the same latent action go the same way?"),
            page.paragraph(
                "For all pairs that move, not only those above: the mean cosine between the way of a hand and that in"
                " the nearest pair, each in its own robot's frame; a hand that rests counts 0. A latent action that"
                " holds the motion lies above what any pair gives."
            ),
            *(_ways([n for n in known if (n.among == n.query) == own]) for own in (True, False)),
            page.note(
                "Bodies need not share their axes or their camera's view: a low cosine between two robots may be that,"
                " and not the model. Within one robot it cannot; but episodes of one task run alike, and a latent that"
                " only names the scene finds the same moment of another episode. Across tasks it cannot do that."
            ),
        ]
    blocks += [page.heading("Does another group have the same codes at all?"), _agreement(report)]
    head = ["moving pairs of", "nearest in", "queries", "distance", "equal codes", "of any pair"]
    rows = [
        [n.query, _among(n), n.pairs, *(_number(x) for x in (n.distance, n.equal_codes, n.equal_codes_random))]
        for n in report.nearness
    ]
    blocks.append(page.folded("distances, and equal codes of any pair", page.table(head, rows)))
    return page.Section("nearest", "Same latent action, other body", blocks)


def _among(n: Nearness) -> str:
    if n.among != n.query:
        return n.among
    return "its other tasks" if n.other_tasks else "its other episodes"


def _ways(found: Sequence[Nearness]) -> str:
    """Tell how well ways agree; a long table is folded."""
    if not found:
        return ""
    head = ["moving pairs of", "nearest in", "queries", "cosine", "of any pair"]
    table = page.table(head, [[n.query, _among(n), n.pairs, n.direction, n.direction_random] for n in found])
    return table if len(found) <= MOST_ROWS else page.folded(f"between bodies: {len(found)} rows", table)


def _agreement(report: LamReport) -> str:
    """Draw which share of its codes a pair has in common with the nearest one of each group."""
    names = [g.group for g in report.groups]
    found = {(n.query, n.among): n.equal_codes for n in report.nearness if not n.other_tasks}
    rows = {f"{i + 1}  {a}": [found.get((a, b)) for b in names] for i, a in enumerate(names)}
    return heat_map("Share of slots with the code of the nearest pair", {"": rows}, _numbers(names), top=1.0)


def _numbers(names: Sequence[str]) -> list[str]:
    return [str(i + 1) for i in range(len(names))]


def _example(folder: Path, example: Example, slots: int) -> str:
    first = page.picture(
        folder / example.query.picture,
        page.Html(f"<b>{_breakable(example.query.group)}</b><br>{_where(example.query)}"),
    )
    others = [page.picture(folder / s.picture, _caption(s, slots)) for s in example.nearest]
    return page.gallery([first, *others], at_least_px=max(WIDTH // (len(others) + 1) - GAP, LEAST))


def _breakable(name: str) -> str:
    """Let a long name go on in the next line, where its words end."""
    return page.text(name).replace("/", "/<wbr>").replace("_", "_<wbr>")


def _where(shown: Shown) -> str:
    return f"<small>query, frame {shown.frame}, codes {' '.join(map(str, shown.codes))}</small>"


def _caption(shown: Shown, slots: int) -> page.Html:
    words = f"at {shown.distance:.2f}, {shown.equal_codes} of {slots} codes"
    words += f", cosine {signed(shown.direction)}" if shown.direction is not None else ""
    return page.Html(f"{_breakable(shown.group)}<br><small>{words}</small>")


def _number(value: float | None) -> object:
    return "" if value is None else value


def _codes(report: LamReport) -> page.Section:
    held = {c.said.embodiment: c.said.real_tuple for c in report.controls}
    head = ["group", "tuples seen", "commonest tuple", "hold-still tuple", "codes by slot", "perplexity by slot"]
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
    blocks = [
        page.table(head, rows),
        heat_map("Share of pairs with each code", slots, columns, top=top),
        page.heading("Do groups speak the same codes?"),
        page.paragraph(
            "Jensen-Shannon distance of the codes of two groups, mean over slots: 0 for equal shares, 1 for no common"
            " code. On the diagonal, two halves of a group's own episodes: the distance that chance alone makes."
        ),
        _overlap(report),
    ]
    return page.Section("codes", "Codes", blocks)


def _shares(counts: Sequence[Sequence[int]]) -> np.ndarray:
    table = np.asarray(counts, dtype=np.float64)
    return table / table.sum(axis=1, keepdims=True)


def _overlap(report: LamReport) -> str:
    names = [g.group for g in report.groups]
    found = {frozenset((d.one, d.other)): d.distance for d in report.code_distances}
    rows = {
        f"{i + 1}  {name}": [found.get(frozenset((name, other))) for other in names] for i, name in enumerate(names)
    }
    return heat_map("Distance of codes", {"": rows}, _numbers(names), top=1.0)


def _pictures(folder: Path, report: LamReport) -> page.Section:
    rows = [[v.embodiment, v.pairs, v.ratio, v.shuffled_ratio, v.copy_frame] for v in report.visual]
    blocks = [
        page.paragraph(
            "The next frame, painted from the current one and the latent action. If shuffling latents among the pairs"
            " of a group costs nothing, they carry nothing, however small the error."
        ),
        page.table(["group", "pairs", "error / copy", "shuffled / copy", "squared error of copying"], rows),
    ]
    blocks += [
        page.picture(folder / sheet, f"{name}: pairs that move; errors are three times as bright", columns=SHEET)
        for name, sheet in report.sheets.items()
    ]
    return page.Section("pictures", "What the latent action paints", blocks)


def _controls(folder: Path, report: LamReport) -> page.Section:
    px = report.controls[0].said.shift_px
    head = ["group", "frames", "slots, least", "slots", "tuple", "real: slots", "real: tuple"]
    still = [
        [s.embodiment, s.frames, min(s.hold_slots), s.hold_still, s.hold_tuple, s.real_slots, s.real_tuple]
        for s in (c.said for c in report.controls)
    ]
    shifted_head = ["group", "slots", "tuple", "size", "size of holding still", "error / copy"]
    shifted_head += ["way, seen twice", "way, shifted", "way, real"]
    shifted = [
        [
            *(c.said.embodiment, c.said.shift_slots, c.said.shift_tuple, c.said.shift_size, c.said.hold_size),
            *(c.shift_ratio, *(_number(way) for way in (c.hold_way, c.shift_way, c.real_way))),
        ]
        for c in report.controls
    ]
    blocks: list[str] = [
        page.heading("Hold still"),
        page.paragraph(
            "Each frame is given twice: nothing happened, whatever the scene. Shares of frames that get the commonest"
            " code of a slot, and the commonest tuple; beside them the share of real pairs that carry the same codes."
            " High on the left and low on the right is what an action says."
        ),
        page.table(head, still),
        page.heading("Move the camera"),
        page.paragraph(
            f"Each frame is followed by itself, shifted as a whole by {px} pixels of the model's resolution, up, down,"
            " left or right in turn. No arm moved. A latent that means the action alone keeps its hold-still codes;"
            " size is its distance from holding still, over that of real pairs; an error below 1 tells that the"
            " painter was told of the shift. Ways are those of the hand in the real pair with the nearest latent"
            " action, over the mean way: how much motion of an arm the model's latent would be taken for."
        ),
        page.table(shifted_head, shifted),
    ]
    sheets = [
        page.picture(folder / file, name, columns=("now", "shifted", "painted"))
        for name, file in report.shifted.items()
    ]
    return page.Section(
        "controls", "Is it the action, or the camera?", [*blocks, page.gallery(sheets, at_least_px=400)]
    )
