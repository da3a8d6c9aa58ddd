"""What came of repeating motions on another robot."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from dataengine.report import Report
from pipelines.evaluation.transfer.agreement import Agreement
from pipelines.output.text_table import text_table

CLIP_HEAD = ["clip", "scene", "latents", "open loop", "closed loop", "video"]
AGREEMENT_HEAD = ["direction of the hand", "clips", "intervals", "cosine", "shuffled", "difference, 95 %"]


class TransferredClip(BaseModel):
    """One motion, repeated."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    instruction: str
    task: str
    """Scene in which it was repeated."""
    seed: int
    latents: int
    direction: dict[str, float] = Field(default_factory=dict)
    """Mean cosine by mode; empty where nobody says where the hand of the source went."""
    codes: dict[str, float]
    """Share of slots in which the executed motion, filmed and read by the model, has the code that it was asked for, by
    mode; `chance`: with codes of other moments of the same clip."""
    solved: dict[str, bool]
    """Whether the simulator called its task done, by mode."""
    trajectory: str
    """States and actions, a NumPy file below `out`."""
    plot: str
    """Ways of hands, empty where the robot's state has none."""
    film: str

    @property
    def files(self) -> list[str]:
        """Name all that was written of it."""
        return [file for file in (self.trajectory, self.plot, self.film) if file]


class MeasuredClip(BaseModel):
    """What is kept of a clip: killed, the same command goes on behind the last one."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    clip: TransferredClip
    true: dict[str, list[float]]
    """(m,) cosines in the intervals in which the hand of the source moved, by mode; none where nobody says."""
    shuffled: dict[str, list[list[float]]]
    """(r, m) the same of each run with latent actions of other moments."""


class TransferReport(Report):
    """Motions of videos, repeated by a robot."""

    lam: str
    to: str
    simulator: str
    acts_as: str
    interval_s: float
    steps: int
    """Control steps K of a latent action."""
    clips: list[TransferredClip]
    agreement: list[Agreement]
    """By mode; empty where nobody says where hands of sources went."""
    codes: dict[str, float]
    """Mean over clips."""
    rejected: dict[str, str]
    """Videos and episodes that are left out, and why."""
    named_rejected: list[str]
    """Of these, files that were asked for by name rather than found in a folder."""
    notes: list[str]
    out: str
    page: str

    @property
    def ok(self) -> bool:
        """False when a video that was asked for by name could not be read."""
        return not self.named_rejected

    def summary(self) -> str:
        """Print a row for each clip, then the agreement of directions."""
        spacing = f"{self.interval_s:g} s a latent action, K = {self.steps}"
        lines = [f"{self.to} in {self.simulator}, as in {self.acts_as}; {spacing}"]
        lines.append(text_table(CLIP_HEAD, self.clip_rows()))
        if self.agreement:
            lines += ["", text_table(AGREEMENT_HEAD, self.agreement_rows())]
        said = ", ".join(f"{name} {share:.0%}" for name, share in self.codes.items())
        lines.append(f"codes of the executed motion as asked for: {said}")
        lines += self.notes
        lines += [f"left out: {why}" for why in self.left_out()]
        return "\n".join([*lines, f"report: {Path(self.out) / 'transfer.json'}, page: {self.page}"])

    def clip_rows(self) -> list[list[object]]:
        """Give the cells below `CLIP_HEAD`, a row for each clip."""
        modes = ("open loop", "closed loop")
        return [
            [c.name, c.task, c.latents, *(_two(c.direction.get(mode)) for mode in modes), c.film] for c in self.clips
        ]

    def agreement_rows(self) -> list[list[object]]:
        """Give the cells below `AGREEMENT_HEAD`, a row for each mode."""
        return [
            [
                *(a.mode, a.clips, a.intervals, _two(a.direction), _two(a.shuffled)),
                f"{a.low:+.2f} to {a.high:+.2f}" + ("" if a.shows else ", no more than chance"),
            ]
            for a in self.agreement
        ]

    def left_out(self) -> list[str]:
        """Say which videos and episodes are left out, and why."""
        return [str(Path(video).parent / why) for video, why in self.rejected.items()]


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
