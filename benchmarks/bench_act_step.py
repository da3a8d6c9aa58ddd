"""One optimiser step of the actor: rows per second, share of the device's peak, memory, with recomputation and without.

Work is three times that of the forward pass, counted by hand (`models.act.flops`) and by torch's own counter, which
must agree; what is computed twice counts once. It needs torch, pydantic and yaml, neither a corpus nor a trainer:
`--preset tiny` on a CPU, `--preset paper --device cuda` on one GPU, where the goal is 40 % of the peak.
"""

import argparse
import json
from pathlib import Path

import torch
from act_model import act_config, counted_flops, make_batch, num_parameters
from stepping import Stepping, peak_flops

from models.act import Act
from models.act.flops import forward_flops

GOAL = 0.40
BATCHES = {"tiny": 64, "small": 32, "paper": 64}
"""Rows on one device; 64 of `paper` take some 111 GiB of an H200, 32 fit an H100 of 80 GB."""


def measured(
    preset: str, device: str, b: int, bf16: bool, recompute: bool, compiled: bool, steps: int
) -> dict[str, object]:
    """Train one actor for a few steps."""
    config = act_config(preset)
    with torch.device(device):
        act = Act(config)
    stepping = Stepping(act, make_batch(config, b, device), device, bf16, recompute, compiled)
    measurement = stepping.measure(steps)
    peak, source = peak_flops(device, torch.bfloat16 if bf16 else torch.float32)
    per_s = 1e3 * b / measurement["step_ms"]
    return {
        "what": "act_step",
        "preset": preset,
        "device": device,
        "batch": b,
        "bf16": bf16,
        "recompute": recompute,
        "compile": compiled,
        **{name: round(value, 3) for name, value in measurement.items()},
        "rows_per_s": round(per_s, 3),
        "mfu": round(3 * forward_flops(config) * per_s / peak, 4),
        "peak": source,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", choices=list(BATCHES), default="tiny")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, help="rows in a step")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="by default on a GPU")
    parser.add_argument("--compile", action="store_true", help="block by block")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", type=Path, help="file for the results, a line each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = act_config(options.preset)
    ours, (theirs, both) = forward_flops(config), counted_flops(config)
    if ours != theirs:
        raise SystemExit(f"counted by hand {ours}, by torch {theirs} for a row's forward pass")
    everything, trained = num_parameters(config)
    print(f"{everything / 1e6:.1f} M parameters, {trained / 1e6:.1f} M trained; a row {ours / 1e9:.3f} GFLOP forward,")
    print(
        f"{3 * ours / 1e9:.3f} with the backward pass (torch counts {both / 1e9:.3f}, scores computed again included)"
    )
    bf16 = options.device == "cuda" if options.bf16 is None else options.bf16
    b = options.batch or BATCHES[options.preset]
    lines = [
        json.dumps(measured(options.preset, options.device, b, bf16, recompute, options.compile, options.steps))
        for recompute in (False, True)
    ]
    print("\n".join(lines))
    if options.device == "cuda":
        print(json.dumps({"goal": "mfu", "value": max(json.loads(line)["mfu"] for line in lines), "at_least": GOAL}))
    if options.json:
        options.json.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
