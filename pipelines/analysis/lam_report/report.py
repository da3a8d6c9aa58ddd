"""What `villa lam report` finds, as one object: groups, codes, nearest pairs, pictures and controls."""

import numpy as np
from pydantic import Field

from dataengine.report import Report
from pipelines.analysis.lam_report.controls import ControlReading
from pipelines.analysis.lam_report.measures import Distance
from pipelines.analysis.lam_report.nearest import NearestExample, Nearness
from pipelines.output.text_table import text_table
from pipelines.training.lam.scores import VisualScore


class PairGroupFacts(Report):
    """Pairs of one embodiment in one dataset."""

    group: str
    dataset: str
    embodiment: str
    kind: str
    steps: int
    """Control steps K between the two frames."""
    episodes: int
    pairs: int
    unreadable: int
    """Pairs left out because a picture is broken."""
    status: str
    """What training may have seen of these episodes."""


class CodeUse(Report):
    """How one group uses the codebook."""

    group: str
    counts: list[list[int]]
    """(k, c) pairs with each code, by slot."""
    used: list[int]
    """Codes that occur, by slot."""
    perplexity: list[float]
    """Codes in effect, by slot."""
    commonest: float
    """Share of the commonest tuple of codes."""
    tuples: int
    """Tuples that occur."""


class CodeDistance(Report):
    """How different the codes of two groups are."""

    one: str
    other: str
    """The same group: its episodes were split in two halves, the distance that chance alone makes."""
    distance: float
    """Jensen-Shannon distance, mean over slots: 0 equal, 1 no common code."""


class LamReport(Report):
    """What a model's latent actions hold."""

    corpus: str
    lam: str
    page: str
    interval_s: float
    labels: str
    """Labels in the corpus that were read; empty where the model encoded the pairs."""
    slots: int
    num_codes: int
    distance: Distance
    groups: list[PairGroupFacts]
    codes_used: int
    """Codes that occur in any slot of any group."""
    codes: list[CodeUse]
    code_distances: list[CodeDistance]
    nearness: list[Nearness]
    examples: list[NearestExample]
    visual: list[VisualScore]
    sheets: dict[str, str] = Field(default_factory=dict)
    """Picture of predicted frames by group."""
    controls: list[ControlReading]
    shifted: dict[str, str] = Field(default_factory=dict)
    """Picture of shifted frames by group."""
    notes: list[str] = Field(default_factory=list)
    seconds: float

    @property
    def direction(self) -> tuple[float, float] | None:
        """Agreement of direction between different groups, of nearest and of random pairs."""
        pairs = [(n.direction, n.direction_random) for n in self.nearness if n.query != n.among]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if not known:
            return None
        one, other = np.mean(known, axis=0)
        return float(one), float(other)

    @property
    def hold_still(self) -> tuple[float, float, float]:
        """Share of slots with the hold-still code: frames seen twice, real pairs, shifted frames; robots if any."""
        robots = {g.group for g in self.groups if g.kind == "robot"}
        said = [c.said for c in self.controls if not robots or c.said.embodiment in robots]
        held, chance, shifted = np.mean([(s.hold_still, s.real_slots, s.shift_slots) for s in said], axis=0)
        return float(held), float(chance), float(shifted)

    def summary(self) -> str:
        """Print a row per group, then what holds across groups."""
        use = {c.group: c for c in self.codes}
        head = ["pairs of", "pairs", "status", "error / copy", "shuffled / copy", "least perplexity", "own direction"]
        rows = []
        for g, v in zip(self.groups, self.visual, strict=True):
            own = next((n for n in self.nearness if n.query == n.among == g.group and not n.other_tasks), None)
            cells = [f"{v.ratio:.3f}", f"{v.shuffled_ratio:.3f}", f"{min(use[g.group].perplexity):.1f}"]
            rows.append([g.group, g.pairs, g.status, *cells, _against(own)])
        lines = [text_table(head, rows), f"codes used: {self.codes_used} of {self.num_codes}"]
        if self.direction:
            nearest, random = self.direction
            label = "direction of the nearest pair in another group"
            lines.append(f"{label}: {signed(nearest)}, of any pair {signed(random)}")
        held, chance, shifted = self.hold_still
        lines.append(
            f"hold still: the same code in {held:.0%} of slots, real pairs have it in {chance:.0%}; "
            f"with the camera shifted by {self.controls[0].said.shift_px} px, {shifted:.0%}"
        )
        return "\n".join([*lines, *self.notes, f"{self.page} ({self.seconds:.1f} s)"])


def signed(value: float) -> str:
    """Print a number with its sign; nearly nothing is +0.00."""
    return f"{round(value, 2) + 0.0:+.2f}"


def _against(one: Nearness | None) -> str:
    if one is None or one.direction is None or one.direction_random is None:
        return "-"
    return f"{signed(one.direction)} (any {signed(one.direction_random)})"
