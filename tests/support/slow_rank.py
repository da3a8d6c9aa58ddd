"""Two ranks, one of which is slow in its forward pass, or waits for its batches."""

import time
from pathlib import Path

import torch

from pipelines.training.distributed import process_group
from tests.support.toy import Toy, make_run


def main(out: str, how: str) -> None:
    with process_group(torch.device("cpu")) as distributed:
        run = make_run(Path(out), Toy(), distributed, log_every=2)
        if distributed.rank == 1:
            where, name = (run.loader, "make") if how == "data" else (run.model, "loss")
            plain = getattr(where, name)

            def slowly(*args, **kwargs):  # type: ignore[no-untyped-def]
                time.sleep(0.3)
                return plain(*args, **kwargs)

            setattr(where, name, slowly)
        run.train()
