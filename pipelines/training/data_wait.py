"""Does the trainer wait for data, for which stage of the loader, and what would help?"""

import os
from collections.abc import Mapping

from dataengine import machine

LEAST_SHARE = 0.1
"""Of the time: below this, waiting is not worth a word."""

STAGES = {
    "cut": "picking windows",
    "read": "reading pictures",
    "decode": "decoding and scaling pictures",
    "pack": "normalising and padding numbers",
}


def advice(ms: Mapping[str, float], step_ms: float, num_threads: int, num_cores: int | None = None) -> str:
    """Say what starves the trainer and which setting helps; empty where hardly anything does.

    `ms` are milliseconds per batch of each stage and of `wait`, `step_ms` those of a whole step with one batch.
    """
    share = ms["wait"] / max(step_ms, 1e-9)
    if share < LEAST_SHARE:
        return ""
    stage = max(STAGES, key=lambda name: ms[name])
    total = sum(ms[name] for name in STAGES)
    # torchrun says how many ranks share the machine.
    cores = num_cores or max(machine.num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
    return (
        f"the trainer waited for data {share:.0%} of the time; a batch takes the loader {total:.0f} ms, "
        f"{ms[stage]:.0f} of them for {STAGES[stage]}: {_remedy(stage, num_threads, cores)}"
    )


def _remedy(stage: str, num_threads: int, num_cores: int) -> str:
    if stage == "read":
        return "put the data on a local disk; shards (`villa shard`) need fewest reads"
    if stage == "decode":
        if num_threads < num_cores:
            return f"--set threads={num_cores} decodes on all cores"
        return "cache_mb with room for all pictures decodes each once; else the model is faster than these cores"
    return "it is done in one thread of each rank; more ranks with smaller batches share it"
