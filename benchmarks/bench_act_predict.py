"""One prediction of the actor: p50 and p99, operator calls, against calling the whole model at every Euler step.

Operator calls are those of the outermost level that are no views, as torch's profiler sees them on a CPU, for the depth
and token counts of `--preset` (for `paper` a tiny width, which changes none). It needs torch, pydantic and yaml only:
`--preset tiny` on a CPU, `--preset paper --device cuda` on one GPU, where the goal is 30 ms in bf16 with a graph.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from act_model import act_config, make_batch
from stepping import seconds_of
from torch.profiler import ProfilerActivity, profile

from models import flow
from models.act import Act, ActConfig
from models.act.caches import LatentCache
from models.act.sampler import Sampler, cast
from models.batch import Observation

FORMER_CALLS = 17_838
"""Of one prediction at the paper's depth before both experts ran side by side; a third of it is the goal."""
NARROW = {"width": 32, "mlp_width": 64, "num_layers": 18, "num_heads": 8, "head_dim": 16}
VIEWS = {
    *(
        "view",
        "reshape",
        "transpose",
        "t",
        "expand",
        "as_strided",
        "unsqueeze",
        "squeeze",
        "permute",
        "slice",
        "select",
    ),
    *(
        "flatten",
        "unflatten",
        "split",
        "narrow",
        "detach",
        "alias",
        "unbind",
        "_unsafe_view",
        "_reshape_alias",
        "chunk",
    ),
    *(
        "split_with_sizes",
        "empty",
        "empty_like",
        "empty_strided",
        "resize_",
        "expand_as",
        "mT",
        "lift_fresh",
        "detach_",
    ),
    *("result_type", "item", "_local_scalar_dense", "is_nonzero", "to", "new_empty"),
}


@torch.no_grad()
def uncached(act: Act, observation: Observation) -> torch.Tensor:
    """Sample with nothing kept from one Euler step to the next: each sees picture, text and context anew."""
    c, b, device = act.config, len(observation.state), observation.state.device
    latent = torch.zeros(b, c.num_latent_tokens, c.latent_dim, device=device)
    action = torch.zeros(b, c.horizon, max(c.action_dims), device=device)
    every, valid = (torch.ones(x.shape[:2], dtype=torch.bool, device=device) for x in (latent, action))
    t_latent, t_robot = flow.time_grid(c.num_euler_steps, device, c.flow)
    for i in range(c.num_euler_steps):
        prefix = act.encode_prefix(observation)
        context = act.robot.context(observation, observation.has_wrist.to(device))
        assert act.latent is not None
        v, kv_cache = act.latent(latent, t_latent[i].expand(b), prefix, every)
        latent = latent + v * (t_latent[i + 1] - t_latent[i])
        robot = (prefix, context, LatentCache(kv_cache, every), valid, observation.embodiment_id)
        action = action + act.robot(action, t_robot[i].expand(b), *robot) / c.num_euler_steps
    return action


def milliseconds(ways: list[Callable[[], Any]], device: str, repeats: int) -> list[list[float]]:
    """Time predictions, ways taking turns, in order: on a CPU its time there, on a GPU until the answer is back."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for ms, predict in zip(times, ways, strict=True):
            ms.append(1e3 * seconds_of(predict, device))
    return [sorted(ms) for ms in times]


def summary(ms: list[float]) -> dict[str, float]:
    """Give median and 99th percentile."""
    last = min(len(ms) - 1, round(0.99 * (len(ms) - 1)))
    return {"p50_ms": round(statistics.median(ms), 3), "p99_ms": round(ms[last], 3), "min_ms": round(ms[0], 3)}


def num_calls(config: ActConfig) -> int:
    """Count the operator calls of one prediction."""
    act = Act(config).eval()
    sampler, batch = Sampler(act), make_batch(config, 1, "cpu")
    sampler.sample(batch)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        sampler.sample(batch)
    outermost = [
        event.name.removeprefix("aten::")
        for event in profiled.events() or []
        if event.name.startswith("aten::") and not (event.cpu_parent and event.cpu_parent.name.startswith("aten::"))
    ]
    return sum(name not in VIEWS for name in outermost)


def narrow(preset: str, num_bodies: int) -> ActConfig:
    """Give a preset, the paper's with few channels."""
    if preset != "paper":
        return act_config(preset, num_bodies)
    vision = {"width": 32, "mlp_width": 64, "num_heads": 2}
    vlm = {"vision": vision, "text": NARROW, "vocab_size": 300}
    return act_config(preset, num_bodies, vlm=vlm, expert=NARROW, wrist={"widths": [8, 8, 8, 8], "head_dim": 8})


def prepared(act: Act, way: str, observation: Observation) -> Callable[[], Any]:
    """Make a way of predicting with a model; its weights are bf16 from the first such way on."""
    if way == "uncached":
        return lambda: uncached(act, observation)
    if "bf16" in way:
        cast(act, torch.bfloat16)
    sampler = Sampler(act, compiled="compile" in way, graph="graph" in way)
    return lambda: sampler.sample(observation)


def predictions(preset: str, device: str, ways: list[str], repeats: int, b: int = 1) -> list[dict[str, Any]]:
    """Time ways of predicting with one model, all in one precision."""
    config = act_config(preset)
    with torch.device(device):
        act = Act(config).eval()
    observation = make_batch(config, b, device)
    calls = [prepared(act, way, observation) for way in ways]
    first = [seconds_of(predict, device) for predict in calls]
    milliseconds(calls, device, 3)
    about = {"what": "act_predict", "preset": preset, "device": device, "batch": b}
    timed = zip(ways, first, milliseconds(calls, device, repeats), strict=True)
    return [{**about, "way": way, **summary(ms), "first_call_s": round(s, 2)} for way, s, ms in timed]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", choices=["tiny", "small", "paper"], default="tiny")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--compile", action="store_true", help="compiled ones, too, on a GPU")
    parser.add_argument("--json", type=Path, help="file for the results, a line each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = [["uncached", "cached"]]
    if options.device == "cuda":
        ways.append(["bf16", "bf16 graph", *(["bf16 compile graph"] if options.compile else [])])
    lines = [
        line
        for each in ways
        for line in predictions(options.preset, options.device, each, options.repeats, options.batch)
    ]
    calls = {n: num_calls(narrow(options.preset, n)) for n in (2, 60)}
    deep = num_calls(narrow("paper", 2))
    by_way = {line["way"]: line for line in lines}
    ratio = round(by_way["uncached"]["p50_ms"] / by_way["cached"]["p50_ms"], 2)
    lines.append({"what": "act_calls", "preset": options.preset, "of_2_bodies": calls[2], "of_60_bodies": calls[60]})
    lines.append({"what": "act_calls", "preset": "paper", "calls": deep, "at_most": FORMER_CALLS // 3})
    lines.append({"what": "uncached_over_cached", "preset": options.preset, "ratio": ratio, "goal": 4.0})
    print("\n".join(json.dumps(line) for line in lines))
    if options.json:
        options.json.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
