"""Two ranks, one of which does in step 6 what it is told: to sleep, to die, to fail, to hear of a SIGTERM."""

import os
import signal
import time
from pathlib import Path

import torch

from dataengine.errors import DataEngineError
from pipelines.training.distributed import Distributed, process_group
from pipelines.training.guards.hang import Watchdog
from tests.support.toy import Toy, make_run

SIGNALS = {"die": signal.SIGKILL, "terminate": signal.SIGTERM}


def stand(out: str, world_size: str) -> None:
    """Wait for data, in step 4, until the watchdog ends it."""
    dog = Watchdog(Path(out), "toy", Distributed(0, int(world_size), torch.device("cpu")), 1)
    with dog.watching(3):
        dog.at(4, "data")
        time.sleep(600)


def main(out: str, how: str) -> None:
    with process_group(torch.device("cpu")) as distributed:
        model = Toy()
        plain, now = model.loss, [0]
        model.at_step = lambda step: now.__setitem__(0, step + 1)

        def loss(batch, random, counts):  # type: ignore[no-untyped-def]
            if now[0] == 6 and distributed.rank == 1:
                if how == "fail":
                    raise DataEngineError("no corpus here")
                time.sleep(600) if how == "sleep" else os.kill(os.getpid(), SIGNALS[how])
            return plain(batch, random, counts)

        model.loss = loss  # type: ignore[method-assign]
        make_run(Path(out), model, distributed, hang_timeout_s=4).train()
