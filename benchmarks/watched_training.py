"""Trains a latent action model for two steps and writes how much memory this rank took: `... CORPUS OUT GPUS SHARDING`.

Counted is what resident memory grows by, from right before the weights are made to its peak before the evaluation.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from pipelines.training.fit import fit
from pipelines.training.lam.config import TrainLamConfig
from pipelines.training.lam.lam import LamTask

PRESET = {
    "preset": "small",
    "bf16": False,
    "val_every": 0,
    "async_checkpoint": False,
    "device": "cpu",
    "val_windows": 1,
}
BATCH_SIZE = 4


def status_mb(key: str) -> float:
    """Read one of the sizes that Linux keeps of this process."""
    line = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert line is not None
    return int(line[1]) * 1024 / 1e6


class WatchedLam(LamTask):
    """Notes memory before the first weight and after the last step."""

    def build(self) -> Any:
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        self.before = status_mb("VmRSS")
        return super().build()

    def deliver(self, model: Any) -> Any:
        return model

    def evaluate(self, *_: Any) -> dict[str, Any]:
        return {}

    def report(self, facts: Any) -> Any:
        taken = status_mb("VmHWM") - self.before
        rank = os.environ.get("RANK", "0")
        (self.config.out.parent / f"{self.config.out.name}-{rank}.json").write_text(json.dumps({"mb": taken}))
        return super().report(facts)


def main() -> None:
    corpus, out, sharding = sys.argv[1:]
    settings = {**PRESET, "batch_size": BATCH_SIZE, "sharding": sharding, "steps": 2, "cache_mb": 0}
    fit(WatchedLam, TrainLamConfig(data=corpus, out=Path(out), **settings))


if __name__ == "__main__":
    main()
