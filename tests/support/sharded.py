"""Runs whose weights are divided among processes, or alone."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch._dynamo.utils import counters

from pipelines.training.blocks import blocks
from pipelines.training.deferred import make_without_memory
from pipelines.training.distributed import Distributed, process_group
from pipelines.training.trainer import Trainer
from tests.support.ranked import RUNS, gradients
from tests.support.small_act import make_act, make_batch
from tests.support.toy import Toy, make_run


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


def steady(out: Path, distributed: Distributed, **changes: object) -> Trainer:
    """A run that depends on nothing but its windows and its step's own noise."""
    torch.manual_seed(0)

    def make() -> Toy:
        return Toy(noise=0.1, dropout=0.0)

    model, weights = make_without_memory(make) if changes.get("sharding") == "fsdp2" else (make(), None)
    model.at_step = lambda step: model.seen.zero_() and None
    return make_run(out, model, distributed, validates=True, weights=weights, val_every=3, **changes)


def train(out: str, die_at: str, changes: str = "{}") -> None:
    """Train to the end, or until the process kills itself in the middle of a step."""
    with process_group(torch.device("cpu"), alone=True) as distributed:
        run = steady(Path(out), distributed, **json.loads(changes))
        before = run.model.at_step

        def at_step(step: int) -> None:
            before(step)
            if step == int(die_at):
                run.checkpoints.background.settle()
                os.kill(os.getpid(), signal.SIGKILL)

        run.model.at_step = at_step
        run.train()
        run.export(Path(out) / "model")


def count_breaks() -> None:
    """Trace the actor's blocks as they are compiled; write graph breaks and graphs. (Checks of shapes are no graph.)"""
    counters.clear()
    act = make_act()
    for block in blocks(act):
        block.compile(backend="eager")
    act.loss(make_batch(), torch.Generator().manual_seed(1))
    sys.stdout.write(f"{sum(counters['graph_break'].values())} {counters['stats']['unique_graphs']}\n")
