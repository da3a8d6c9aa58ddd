"""A training that loses a worker in the middle of a step, and then waits for a signal; each of them once."""

import os
import signal
import threading
from pathlib import Path

from models.lam import Lam
from pipelines.training.interrupts import Interrupts
from pipelines.training.lam import lam
from pipelines.training.lam.config import TrainLamConfig

DIES_AT, WAITS_AT = 3, 4


def run(config: TrainLamConfig) -> lam.TrainLamReport:
    begin, ask = Lam.begin_step, Interrupts.ask
    killed, waits = (Path(config.data).parent / name for name in ("killed", "waits"))
    heard = threading.Event()

    def begin_step(self: Lam, step: int, num_steps: int) -> bool | None:
        if step == DIES_AT and os.environ["RANK"] == "1" and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if step == WAITS_AT and os.environ["RANK"] == "0" and not waits.exists():
            waits.touch()
            assert heard.wait(60)
        return begin(self, step, num_steps)

    def hear(number: int) -> None:
        ask(number)
        heard.set()

    Lam.begin_step = begin_step  # type: ignore[method-assign]
    Interrupts.ask = hear  # type: ignore[method-assign]
    return lam.run(config)


def run_whole(config: str) -> None:
    lam.run(TrainLamConfig.model_validate_json(config))
