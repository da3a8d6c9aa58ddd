"""A training one of whose workers is killed once, in the middle of a step."""

import os
import signal
from pathlib import Path

from models.lam import Lam
from pipelines.training.lam import lam
from pipelines.training.lam.config import TrainLamConfig

DIES_AT = 4


def run(config: TrainLamConfig) -> lam.TrainLamReport:
    begin, killed = Lam.begin_step, Path(config.data).parent / "killed"

    def begin_step(self: Lam, step: int, num_steps: int) -> bool | None:
        if step == DIES_AT and os.environ["RANK"] == "1" and not killed.exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return begin(self, step, num_steps)

    Lam.begin_step = begin_step  # type: ignore[method-assign]
    return lam.run(config)


def run_whole(config: str) -> None:
    lam.run(TrainLamConfig.model_validate_json(config))
