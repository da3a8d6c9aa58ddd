"""The checkpoints of one run: all ranks save together, and go on from the newest that is whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dataengine.errors import DataEngineError
from pipelines.training import checkpoint
from pipelines.training.continuing import VERSION, changes, check_identity
from pipelines.training.distributed import Distributed
from pipelines.training.ema import Ema
from pipelines.training.settings import LoopConfig


@dataclass(frozen=True)
class Checkpoints:
    """Saves and restores what a run trains, in `out/checkpoints`."""

    out: Path
    config: LoopConfig
    distributed: Distributed
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    identity: Mapping[str, Any]
    """What must not change between calls: settings and data."""
    extra: Mapping[str, Any]
    """What goes into `model_config.json`."""
    files: Mapping[str, str]
    """Small ones that belong beside the weights, by name."""
    say: Callable[[str], None]
    """Tells the user, from the main process."""

    @property
    def directory(self) -> Path:
        """Where they lie."""
        return self.out / "checkpoints"

    def newest(self) -> str:
        """Say which one a run would go on from."""
        saved = checkpoint.steps(self.directory)
        return f"checkpoint of step {saved[-1]} is whole" if saved else "no checkpoint yet"

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Save a step, with what else the run needs to go on."""
        if self.distributed.is_main_process:
            checkpoint.save(
                self.directory,
                step,
                model=self.model,
                optimizer=self.optimizer,
                ema=self.ema.weights() if self.ema else None,
                state={
                    **state,
                    "identity": {**self.identity, "trainer": VERSION},
                    "elastic": self.config.may_change_on_resume(),
                },
                extra=self.extra,
                files=self.files,
                keep=self.config.keep_last,
            )
        self.distributed.barrier()

    def restore(self) -> dict[str, Any] | None:
        """Go on from the newest one that is whole; return its state, or None where the run begins."""
        saved = checkpoint.steps(self.directory)
        last = self.distributed.broadcast(saved[-1] if saved else -1)
        if last < 0:
            self.distributed.broadcast_weights(self.model)
            return None
        if self.distributed.any(last not in saved):
            raise DataEngineError(
                f"{self.out}: the first rank goes on from step {last}, another finds no such checkpoint; put --out on "
                f"a disk that all machines share"
            )
        state = self._load([step for step in saved if step <= last])
        for line in changes(state["elastic"], self.config, state["step"], self.out):
            self.say(line)
        return state

    def _load(self, saved: Sequence[int]) -> dict[str, Any]:
        """Restore the newest checkpoint that is whole, and say which are not."""
        averaged = self.ema.weights() if self.ema else None
        for step in reversed(saved):
            folder, damaged = checkpoint.path(self.directory, step), False
            try:
                state = checkpoint.read_state(folder)
                check_identity(state["identity"], {**self.identity, "trainer": VERSION}, self.config, self.out)
                checkpoint.load(folder, state, model=self.model, optimizer=self.optimizer, ema=averaged)
            except checkpoint.DamagedCheckpointError as error:
                damaged = True
                self.say(f"{error}; going back to the checkpoint before, if there is one")
            if not self.distributed.any(damaged):
                return state
        raise DataEngineError(
            f"{self.directory}: no checkpoint is whole (steps {', '.join(map(str, saved))}); copy one from "
            f"elsewhere, or delete that folder to begin anew"
        )
