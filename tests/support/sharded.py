"""Runs whose weights are divided among processes: started by torchrun, or alone."""

import sys
from pathlib import Path

import torch

from pipelines.training.distributed import Distributed, process_group
from tests.support.ranked import RUNS, gradients


def alone() -> Distributed:
    return Distributed(0, 1, torch.device("cpu"))


def save_gradients(out: str) -> None:
    """Write the gradients of a step of each model, in two parts."""
    with process_group(torch.device("cpu"), alone=True) as distributed:
        for kind in RUNS:
            settings = {"sharding": "fsdp2", "checkpoint_activations": kind != "world"}
            seen = gradients(kind, Path(out), distributed, 2, **settings)
            if distributed.is_main_process:
                torch.save(seen, Path(out) / f"{kind}.pt")


if __name__ == "__main__":
    {"gradients": save_gradients}[sys.argv[1]](*sys.argv[2:])
