"""`villa export checkpoint`: the model of a checkpoint as one folder of weights, from however many shards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from dataengine.config import MOST, Config
from dataengine.errors import DataEngineError
from dataengine.report import Report
from pipelines.output.folder import claimed
from pipelines.output.text_table import human_bytes


class ExportCheckpointConfig(Config):
    """Which checkpoint goes where."""

    run: Path
    """Folder of a training run, or of one of its checkpoints."""
    out: Path
    """New folder."""
    step: int | None = Field(None, ge=0, le=MOST)
    """Step of the checkpoint; by default the newest that is whole."""
    averaged: bool = True
    """Take the averaged weights, which the run would export, where there are some; false takes the last step's."""


class ExportCheckpointReport(Report):
    """What was written."""

    checkpoint: str
    out: str
    step: int
    bytes: int
    """Of the weights, buffers such as a codebook's counts among them."""
    shards: int
    """Files that the weights were put together from."""
    averaged: bool

    def summary(self) -> str:
        """Say where the model is."""
        shards = f" from {self.shards} shards" if self.shards > 1 else ""
        of = "averaged weights" if self.averaged else "weights"
        return f"{self.out}: {of} of step {self.step}, {human_bytes(self.bytes)}{shards}"


def run(config: ExportCheckpointConfig) -> ExportCheckpointReport:
    """Put the weights together, and write them as the run itself does when it ends."""
    from models import weights
    from models.json_file import read_object
    from pipelines.training import checkpoint

    folder = _chosen(config.run, config.step)
    state = checkpoint.read_state(folder)
    about = {key: value for key, value in read_object(folder / weights.CONFIG_NAME).items() if key != "sha256"}
    tensors, averaged = checkpoint.read_weights(folder, state, averaged=config.averaged)
    texts = _texts(folder, state)
    with claimed(config.out, "export checkpoint") as out:
        out.claim(weights.CONFIG_NAME, weights.WEIGHTS_NAME, *texts)
        weights.save_tensors(config.out, tensors, about)
        checkpoint.write_files(config.out, texts)
    return ExportCheckpointReport(
        checkpoint=str(folder),
        out=str(config.out),
        step=state["step"],
        bytes=sum(tensor.nbytes for tensor in tensors.values()),
        shards=state.get("sharded", {}).get("num_shards", 1),
        averaged=averaged,
    )


def _chosen(run: Path, step: int | None) -> Path:
    """Find the checkpoint; raise DataEngineError where there is none."""
    from pipelines.training import checkpoint

    if checkpoint.step_of(run) is not None and (run / checkpoint.STATE_NAME).exists():
        if step not in (None, checkpoint.step_of(run)):
            raise DataEngineError(f"{run}: is one checkpoint, found step {step}; give the folder of its run")
        return run
    steps = checkpoint.steps(run / "checkpoints")
    if not steps:
        raise DataEngineError(f"{run}: no checkpoint there, expected the folder of a training run")
    if step is None:
        return checkpoint.newest_whole(run / "checkpoints")
    if step not in steps:
        raise DataEngineError(f"{run}: no checkpoint of step {step}; there are {', '.join(map(str, steps))}")
    return checkpoint.path(run / "checkpoints", step)


def _texts(folder: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """Read the small files that lie beside the weights: a tokenizer."""
    from models.weights import CONFIG_NAME

    names = [name for name in state.get("sha256", {}) if not name.endswith(".safetensors") and name != CONFIG_NAME]
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}
