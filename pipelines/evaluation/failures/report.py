"""What came of looking for the training episodes that failures are like."""

from pydantic import BaseModel, ConfigDict, Field

from dataengine.report import Report
from pipelines.output.text_table import text_table


class NearEpisode(BaseModel):
    """A training episode that moves like a rollout."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    episode_id: str
    dataset: str
    embodiment: str
    instruction: str
    distance: float
    """Between the two sequences of latent actions; 1 is as far as two latent actions of the corpus are on average."""


class MinedRollout(BaseModel):
    """A rollout and the training episodes nearest to it, the nearest first."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str
    task: str
    instruction: str
    success: bool
    steps: int
    latents: int
    """Latent actions that it was compared by."""
    nearest: list[NearEpisode]
    farther_than: float | None
    """Share of training episodes that lie nearer to their own nearest other; near 1, nothing like it was trained on.
    None where there are too few to say."""
    picture: str = ""
    """Its frames above those of the nearest episodes that they are aligned with, below `out`."""

    @property
    def same_instruction(self) -> bool:
        """Whether the nearest episode was recorded for the same instruction."""
        return self.nearest[0].instruction.strip().lower() == self.instruction.strip().lower()


class Usual(BaseModel):
    """Means over failures, or over successes."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rollouts: int
    distance: float
    """To the nearest training episode."""
    same_instruction: float
    """Share whose nearest training episode has the same instruction."""


class FailuresReport(Report):
    """Failures of a policy, each with the training episodes nearest to it."""

    rollouts: str
    corpus: str
    lam: str
    policy: str
    num_failures: int
    num_successes: int
    compared_with: int
    """Training episodes."""
    interval_s: float
    failures: list[MinedRollout]
    usual_failure: Usual | None
    usual_success: Usual | None
    usual_training: float | None
    """Mean distance of training episodes to their nearest other."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Rollouts and training episodes that could not be compared, by the reason."""
    out: str
    page: str

    def summary(self) -> str:
        """Print a row for each failure, then what is usual."""
        rows = [
            [
                *(one.name, one.steps, one.nearest[0].distance),
                "-" if one.farther_than is None else f"{one.farther_than:.0%}",
                f"{one.nearest[0].dataset} {one.nearest[0].episode_id[:8]}",
                one.nearest[0].instruction,
            ]
            for one in self.failures
        ]
        head = ["failure", "steps", "distance", "farther than", "nearest training episode", "its instruction"]
        count = self.num_failures + self.num_successes
        lines = [f"{self.policy}: {self.num_failures} failures of {count} rollouts, {self.compared_with} episodes"]
        lines += [text_table(head, rows)] if rows else []
        for name, usual in (("failures", self.usual_failure), ("successes", self.usual_success)):
            if usual:
                alike = f"which has the same instruction in {usual.same_instruction:.0%} of {usual.rollouts}"
                lines.append(f"{name}: {usual.distance:.3f} from the nearest training episode, {alike}")
        if self.usual_training is not None:
            lines.append(f"training episodes: {self.usual_training:.3f} from their nearest other")
        lines += [f"left out: {count} {reason}" for reason, count in self.left_out.items()]
        return "\n".join([*lines, f"page: {self.page}"])
