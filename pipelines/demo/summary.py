"""What a demo run made, stage by stage: `summary.json`, read by the report and by other people's scripts.

A stage that did not run leaves its field empty. Files are named relative to the run's folder.
"""

from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from dataengine.report import Report
from dataengine.whole_file import write_whole

FILE_NAME = "summary.json"


class Facts(BaseModel):
    """Base of one row of the summary."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Recorded(Facts):
    """One raw dataset: `villa ingest SOURCE ROOT` reads exactly that."""

    source: str
    root: str
    episodes: int
    steps: int
    simulated: bool = True
    """False for footage of real hands."""
    note: str = ""
    """Where it comes from: simulator, tasks, layout."""


class Ingested(Facts):
    """What one `villa ingest` did, and what the corpus holds of that source."""

    source: str
    planned_parts: int
    committed_parts: int
    skipped_parts: int
    rejected_records: int
    episodes: int
    steps: int
    seconds: float
    kind: str = ""
    embodiment: str = ""
    control_hz: float = 0.0
    num_bytes: int = 0
    """Bytes of its frames in the corpus."""


class RejectedRecord(Facts):
    """One record that was put aside."""

    source: str
    record: str
    reason: str


class RuleOutcome(Facts):
    """What one curation rule did."""

    rule: str
    checked: int = Field(validation_alias=AliasChoices("checked", "judged"))
    not_checked: int = Field(0, validation_alias=AliasChoices("not_checked", "not_judged"))
    """Episodes that it was asked about and could not check."""
    dropped: int
    example: str = ""
    """The reason given to one of the dropped episodes."""
    notes: list[str] = Field(default_factory=list)
    """Why it could not check some, or what it found wrong with a whole dataset."""


class Curation(Facts):
    """What curation kept."""

    episodes: int
    kept: int
    rules: list[RuleOutcome] = Field(default_factory=list)


class EmbodimentStats(Facts):
    """How much there is of one embodiment after curation."""

    embodiment: str
    episodes: int
    steps: int
    state_dim: int
    action_dim: int


class FrameErrors(Facts):
    """Squared error of the next frame on held-out episodes of one embodiment, each divided by copying the frame."""

    embodiment: str
    model: float
    shuffled: float
    """With latents of other pairs: near 1 when the latents carry the motion."""


class CodebookSlot(Facts):
    """How one slot of the codebook is used on held-out episodes."""

    used: int
    size: int
    perplexity: float


class LamRun(Facts):
    """One latent action model."""

    name: str
    proprio: bool
    """Trained with the proprio forward dynamics model."""
    steps: int
    seconds: float = 0.0
    parameters: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    """Last or held-out figures, by name."""
    curve: str = ""
    """JSONL file; every line has `step` and figures."""
    visual: list[FrameErrors] = Field(default_factory=list)
    codebook: list[CodebookSlot] = Field(default_factory=list)
    reconstructions: str = ""
    """Picture of held-out pairs, one in a row: now, then, the model's guess, error of a copy, error of the guess."""


class ProbeScore(Facts):
    """Mean absolute error of robot actions read from frozen latents, held-out episodes, normalised units."""

    lam: str
    embodiment: str
    error: float
    trivial: float
    """Always the training median."""
    best: float
    """The same readout, given the true change of state."""
    spread: float = 0.0
    """Standard deviation over probe seeds."""


class Labelled(Facts):
    """What one model wrote into the corpus."""

    lam: str
    episodes: int
    steps: int
    seconds: float = 0.0


class Sharded(Facts):
    """The pre-training shards."""

    shards: int
    episodes: int
    steps: int
    num_bytes: int
    seconds: float = 0.0


class ActRun(Facts):
    """One policy."""

    name: str
    use_latent: bool
    """Trained with the latent expert."""
    steps: int
    seconds: float = 0.0
    parameters: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    curve: str = ""
    """JSONL file; every line has `step` and figures."""


class DemoFilmstrip(Facts):
    """One filmstrip."""

    image: str
    caption: str


class Rollout(DemoFilmstrip):
    """One filmed episode of a policy."""

    task: str
    policy: str
    success: bool


class Evaluated(Facts):
    """How often one policy solved one task; `low` and `high` bound the rate (Wilson, 95 %)."""

    task: str
    policy: str
    successes: int
    episodes: int
    low: float
    high: float
    note: str = ""


class StageTime(Facts):
    """Wall-clock seconds of one stage, as last run to its end."""

    stage: str
    seconds: float


class DemoSummary(Report):
    """All that a demo run made; every field is filled by the stage of the same name."""

    title: str = "villa demo"
    out: str = ""
    """Folder of the run, as the command was given it."""
    command: str = "villa demo"
    """What reproduces it."""
    quick: bool = False
    until: str = ""
    """Last stage that was asked for; empty for all."""
    recorded: list[Recorded] = Field(default_factory=list)
    ingest: list[Ingested] = Field(default_factory=list)
    rejects: list[RejectedRecord] = Field(default_factory=list)
    curation: Curation | None = None
    stats: list[EmbodimentStats] = Field(default_factory=list)
    lam: list[LamRun] = Field(default_factory=list)
    probe: list[ProbeScore] = Field(default_factory=list)
    labels: list[Labelled] = Field(default_factory=list)
    shards: Sharded | None = None
    act: list[ActRun] = Field(default_factory=list)
    plans: list[DemoFilmstrip] = Field(default_factory=list)
    evaluation: list[Evaluated] = Field(default_factory=list)
    rollouts: list[Rollout] = Field(default_factory=list)
    timings: list[StageTime] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    report: str = ""
    """The HTML page, relative to the run's folder."""

    def relative(self, path: str | Path) -> str:
        """Name a file of the run relative to its folder."""
        return str(Path(path).relative_to(self.out)) if path else ""

    def save(self, run_dir: Path) -> None:
        """Write `summary.json` so that no reader ever sees half of it."""
        write_whole(run_dir / FILE_NAME, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, run_dir: Path) -> "DemoSummary":
        """Read `summary.json`; an absent one is an empty summary."""
        path = run_dir / FILE_NAME
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else cls()

    def summary(self) -> str:
        """Say what came out, most wanted first."""
        lines = [f"{e.task}: {e.policy} {e.successes}/{e.episodes}" for e in self.evaluation]
        made = f"{sum(r.episodes for r in self.recorded)} episodes recorded"
        held = f"{sum(i.episodes for i in self.ingest)} in the corpus"
        quick = (
            ["a quick run: it shows that the commands work together, not how good the models are"] if self.quick else []
        )
        report = [f"report: {Path(self.out) / self.report}"] if self.report else []
        return "\n".join([*lines, f"{made}, {held}", *quick, *report])
