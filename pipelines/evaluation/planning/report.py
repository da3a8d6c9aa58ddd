"""What came of measuring plans."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dataengine.report import Report
from pipelines.output.text_table import text_table

GROUP_HEAD = ["dataset", "embodiment", "status", "starts", "cosine", "difference, 95 %", "codes right", "approach"]
WORDING_HEAD = ["dataset", "embodiment", "words", "starts", "codes right", "changed"]


class Wording(BaseModel):
    """Plans from the same pictures with other words."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: str
    """`another task's`, or `new` ones for the same task."""
    starts: int
    codes: float
    """Share of slots with the code of what happened."""
    changed: float
    """Share of slots in which the plan differs from that with the recording's own words."""


class PlanGroup(BaseModel):
    """Plans of one embodiment in one dataset."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    dataset: str
    embodiment: str
    kind: str
    status: str
    """What training can know of these episodes."""
    episodes: int
    starts: int
    unreadable: int
    """Starts left out because a picture is broken."""
    cosine: float
    """Between latent actions planned and those that happened."""
    cosine_elsewhere: float | None
    """Between latent actions planned and those that happened in other episodes of the group."""
    low: float | None
    """Of the difference, 95 % by bootstrap over episodes."""
    high: float | None
    codes: float
    """Share of slots in which the nearest code of the plan is that of what happened."""
    codes_elsewhere: float | None
    codes_commonest: float
    """The same where always the commonest code is named."""
    approach: float | None
    """Way that predicted pictures go from the first towards the recorded one, at the end of the plan: 0 none, 1 all;
    over pixels that changed in the recording."""
    approach_elsewhere: float | None
    """With plans of other episodes."""
    approach_happened: float | None
    """With the latent actions that happened: what the decoder can do."""
    wordings: list[Wording]
    examples: str
    """Picture, below `out`."""


class PlanningReport(Report):
    """Plans of a policy, held against what happened."""

    policy: str
    corpus: str
    lam: str
    interval_s: float
    num_latents: int
    """In a plan."""
    groups: list[PlanGroup]
    out: str
    page: str

    def summary(self) -> str:
        """Print a row for each group, then one for each wording."""
        lines = [
            f"plans of {self.num_latents} latent actions, {self.interval_s:g} s each; in brackets cosine: of other "
            f"episodes; codes: of other episodes, commonest; approach: plans of other episodes, what happened",
            text_table(GROUP_HEAD, self.group_rows()),
        ]
        if wordings := self.wording_rows():
            lines += ["", text_table(WORDING_HEAD, wordings)]
        return "\n".join([*lines, f"report: {Path(self.out) / 'planning.json'}, page: {self.page}"])

    def group_rows(self) -> list[list[object]]:
        """Give the cells below `GROUP_HEAD`, a row for each group."""
        return [
            [
                *(g.dataset, g.embodiment, g.status, g.starts),
                f"{g.cosine:+.2f} ({_two(g.cosine_elsewhere)})",
                "-" if g.low is None or g.high is None else f"{g.low:+.2f} to {g.high:+.2f}",
                f"{g.codes:.0%} ({_share(g.codes_elsewhere)}, {g.codes_commonest:.0%})",
                f"{_share(g.approach)} ({_share(g.approach_elsewhere)}, {_share(g.approach_happened)})",
            ]
            for g in self.groups
        ]

    def wording_rows(self) -> list[list[object]]:
        """Give the cells below `WORDING_HEAD`, a row for each wording."""
        return [
            [g.dataset, g.embodiment, w.kind, w.starts, f"{w.codes:.0%}", f"{w.changed:.0%}"]
            for g in self.groups
            for w in g.wordings
        ]


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
