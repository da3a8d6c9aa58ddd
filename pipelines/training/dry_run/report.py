"""What `--dry-run` of a training reports."""

from pydantic import Field

from dataengine.report import Report
from pipelines.output.text_table import human_bytes, human_seconds, text_table


class DatasetDraws(Report):
    """What the run sees of one dataset."""

    dataset: str
    episodes: int
    windows: int
    """In one epoch of it."""
    share: float
    draws: int
    """In the whole run."""
    epochs: float


class DryRunReport(Report):
    """What a training takes; nothing was computed, and nothing written."""

    preset: str
    parameters: int
    trained_parameters: int
    steps: int
    batch_size: int
    gpus: int
    gpu: str
    sharding: str
    windows_per_gpu: int
    """At once."""
    memory: dict[str, int]
    """Bytes on each GPU by part, when most is needed."""
    needed_bytes: int
    usable_bytes: int
    activations: dict[str, int]
    """Bytes on each GPU without recomputation (`kept`) and with it (`recomputed`)."""
    host_bytes: int
    """Beside that, of the machine's memory: pictures of batches ahead in each process."""
    flops_per_step: int
    """Of the model's own work on all GPUs; recomputation is none."""
    flops_per_window: int
    mfu: float
    hours: float
    """Of computing, on all GPUs, if data is never waited for."""
    datasets: list[DatasetDraws] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)
    """Optional datasets of the mixture that the data does not hold."""
    read_bytes: int = 0
    """Encoded pictures that the whole run reads, if none is kept in memory."""
    data_bytes: int = 0
    """Encoded pictures of all episodes that are trained on."""
    notes: list[str] = Field(default_factory=list)
    advice: str = ""
    """What does not fit, and the settings that would."""
    ok: bool = True

    def summary(self) -> str:
        """Print the plan, the refusal last."""
        draws = [[d.dataset, d.episodes, d.windows, f"{d.share:.2%}", d.draws, d.epochs] for d in self.datasets]
        parts = [[name, human_bytes(size)] for name, size in self.memory.items() if size]
        per_step = f"{self.flops_per_step / 1e12:.4g} TFLOP a step, {self.flops_per_window / 1e9:.4g} GFLOP a window"
        trained = f", {self.trained_parameters:,} of them trained" if self.trained_parameters < self.parameters else ""
        lines = [
            f"{self.parameters:,} parameters{trained}; {self.steps:,} steps of {self.batch_size:,} windows, "
            f"{self.windows_per_gpu:,} at once on each of {self.gpus} {self.gpu} ({self._divided()})",
            text_table(["dataset", "episodes", "windows", "share", "draws", "epochs"], draws),
            *([f"not there, and left out: {', '.join(self.missing)}"] if self.missing else []),
            f"pictures: {human_bytes(self.data_bytes)}; the run reads {human_bytes(self.read_bytes)} if none is kept",
            text_table(["memory of a GPU", ""], [*parts, ["together, at most", human_bytes(self.needed_bytes)]]),
            f"activations {human_bytes(self.activations['kept'])}, with checkpoint_activations "
            f"{human_bytes(self.activations['recomputed'])}; {human_bytes(self.host_bytes)} of the machine's memory "
            f"for pictures ahead",
            f"{per_step}; {human_seconds(3600 * self.hours)} at {self.mfu:.0%} of the peak",
        ]
        return "\n".join([*lines, *self.notes, *([self.advice] if self.advice else [])])

    def _divided(self) -> str:
        return {"none": "each has the whole model", "fsdp2": "the model divided by fsdp2"}[self.sharding]
