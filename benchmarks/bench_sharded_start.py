"""Memory that ranks take while a sharded policy is made: weight by weight, against each making all of it first.

Resident memory of the fullest rank is what is compared, from before the first weight to its peak until the rank holds
its share; the actor is the `small` one, in processes on one CPU that meet by gloo.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from act_model import act_config
from claims import Claim, say
from watched_training import status_mb

RANKS = (1, 2, 4)
GOAL = 2.0
"""How many times less the fullest of four ranks takes."""


def rank(preset: str, is_deferred: bool) -> None:
    """Make the sharded model in this rank, and print its parameters and what memory that took."""
    import torch
    import torch.distributed as dist

    from models.act import Act
    from pipelines.training.deferred import make_without_memory
    from pipelines.training.sharding import Call, shard

    dist.init_process_group("gloo")
    cpu, shape = torch.device("cpu"), act_config(preset)
    shard(Call(torch.nn.Linear(8, 8)), cpu, bf16=False)  # what is imported and connected once is there then
    torch.manual_seed(0)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before = status_mb("VmRSS")
    model, weights = make_without_memory(lambda: Act(shape)) if is_deferred else (Act(shape), None)
    root = Call(model)
    shard(root, cpu, bf16=False)
    if weights is not None:
        weights.fill(root, model, cpu)
    taken = status_mb("VmHWM") - before
    dist.barrier()
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters()), "mb": taken}))
    dist.destroy_process_group()


def fullest(preset: str, ranks: int, is_deferred: bool) -> tuple[int, float]:
    """Return parameters, and megabytes of the rank that takes most."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # One arena, and nothing kept for later: resident memory is then what tensors take.
    quiet = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0"}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(ranks)}
    command = [sys.executable, __file__, "--preset", preset, "--rank", "deferred" if is_deferred else "whole"]
    started = [
        subprocess.Popen(command, env={**os.environ, **quiet, **meeting, "RANK": str(i)}, stdout=subprocess.PIPE)
        for i in range(ranks)
    ]
    said = [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]
    return said[0]["parameters"], max(about["mb"] for about in said)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="small")
    parser.add_argument("--rank", choices=["whole", "deferred"])
    options = parser.parse_args()
    if options.rank:
        rank(options.preset, options.rank == "deferred")
        return
    claims = []
    for ranks in RANKS:
        _, whole = fullest(options.preset, ranks, False)
        parameters, deferred = fullest(options.preset, ranks, True)
        share = parameters * 4 / ranks / 1e6
        print(
            f"{ranks} ranks, {parameters / 1e6:.0f} M parameters: whole {whole:.0f} MB, weight by weight "
            f"{deferred:.0f} MB; a rank's share is {share:.0f} MB",
            flush=True,
        )
        claims.append(Claim(f"sharded_start_{ranks}", whole / deferred, GOAL if ranks == 4 else 1.0, "whole", "times"))
    say(claims)


if __name__ == "__main__":
    main()
