"""One rank of a training on shards, as `villa train` runs it; the first writes what it measured: `... '{"kind": ...}'`.

Measured is the second half of the steps: wall time, data wait and MFU as the run's own metrics have them, and the CPU
time of the whole process, of the threads that read and decode too.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from pipelines.training.act.act import ActTask
from pipelines.training.act.config import TrainActConfig
from pipelines.training.fit import fit
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.lam.lam import LamTask

MARKS: list[tuple[float, float]] = []
"""Wall and CPU time at the beginning of every step."""


class Watched:
    """A task that looks at the clocks when a step begins, and does nothing once the last one is done."""

    def build(self) -> Any:
        model = super().build()  # type: ignore[misc]
        begin = model.begin_step

        def marked(step: int, num_steps: int) -> Any:
            MARKS.append((time.perf_counter(), time.process_time()))
            return begin(step, num_steps)

        model.begin_step = marked
        return model

    def deliver(self, model: Any) -> Any:
        return model

    def evaluate(self, *_: Any) -> dict[str, Any]:
        return {}


class WatchedLam(Watched, LamTask):
    """The latent action model."""


class WatchedAct(Watched, ActTask):
    """The policy."""


TASKS: dict[str, Any] = {"lam": (WatchedLam, TrainLamConfig), "act": (WatchedAct, TrainActConfig)}


def main(asked: dict[str, Any]) -> None:
    torch.set_num_threads(1 if asked["device"] == "cpu" else torch.get_num_threads())
    task, kind = TASKS[asked["kind"]]
    half = asked["steps"]
    settings = {
        "preset": asked["preset"],
        "steps": 2 * half,
        "batch_size": asked["batch_size"],
        "device": asked["device"],
        "log_every": half,
        "val_every": 0,
        "val_batches": 1,
        "checkpoint_every": 10**6,
        "cache_mb": 0,  # every picture is decoded each time it is seen, as in a corpus that no memory holds
        **asked["settings"],
    }
    report = fit(task, kind(data=asked["data"], out=Path(asked["out"]), **settings))
    lines = [json.loads(line) for line in (Path(asked["out"]) / "metrics.jsonl").read_text().splitlines()]
    last = next(line for line in reversed(lines) if "samples_per_s" in line)
    (_, before), (_, after) = MARKS[half], MARKS[-1]
    about = {"cpu_s_per_step": (after - before) / (len(MARKS) - 1 - half), "parameters": report.parameters}
    mine = {**{name: last.get(name) for name in ("samples_per_s", "data_wait", "mfu", "memory_gb")}, **about}
    if os.environ.get("RANK", "0") == "0":
        Path(asked["report"]).write_text(json.dumps(mine), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
