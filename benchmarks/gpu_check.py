"""What only a GPU can show, in one run of under four minutes: right numbers, no waiting, then speed and memory.

`python3 benchmarks/gpu_check.py [OUT [CHECK...]]` makes all checks, or those that are named, and writes a line of JSON
for every measurement to OUT/gpu_check.jsonl as soon as it is there; one that fails leaves its error and no more. Beside
torch it needs numpy, pydantic, einops, jaxtyping, safetensors and yaml. It says nothing about training on several GPUs.
"""

import copy
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from act_model import act_config, make_batch  # noqa: E402
from bench_act_predict import predictions  # noqa: E402
from bench_act_step import measured  # noqa: E402
from lam_model import lam_config  # noqa: E402
from lam_model import make_batch as lam_batch  # noqa: E402
from stepping import Stepping, peak_flops, seconds_of  # noqa: E402

from models.act import Act  # noqa: E402
from models.act.flops import forward_flops  # noqa: E402
from models.act.sampler import Sampler, cast  # noqa: E402
from models.lam import Lam  # noqa: E402
from models.lam.flops import forward_flops as lam_flops  # noqa: E402
from models.layers.attention import attend_briefly  # noqa: E402
from models.layers.norm import HeadNorm  # noqa: E402
from pipelines.training.transfer import Transfer  # noqa: E402

LIMIT_S = float(os.environ.get("GPU_CHECK_LIMIT_S", "225"))
"""No measurement starts later; what is left out says so."""
START = time.monotonic()


class Log:
    """Lines of JSON, on disk as soon as they are known."""

    def __init__(self, path: Path, chosen: list[str]) -> None:
        self.path, self.chosen = path, chosen
        path.write_text("")

    def write(self, line: dict[str, Any]) -> None:
        """Append one line, with the seconds since the start."""
        text = json.dumps({**line, "at_s": round(time.monotonic() - START, 1)})
        print(text, flush=True)
        with self.path.open("a") as file:
            file.write(text + "\n")

    def attempt(self, name: str, work: Callable[[], dict[str, Any] | list[dict[str, Any]]]) -> None:
        """Do some work, write what it found or why it failed, and free what it held."""
        if self.chosen and name not in self.chosen:
            return
        if time.monotonic() - START > LIMIT_S:
            self.write({"check": name, "skipped": "no time left"})
            return
        try:
            results = work()
            for line in results if isinstance(results, list) else [results]:
                self.write({"check": name, **line})
        except Exception as error:  # the others shall run
            where = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {str(error)[:600]}"
            self.write({"check": name, "error": message, "where": f"{where.filename}:{where.lineno}"})
        gc.collect()
        with suppress(RuntimeError):  # of a device that an earlier error left unusable
            torch.cuda.empty_cache()


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise an error wherever the host waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def difference(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> float:
    """Give the largest absolute difference."""
    return max(float((x.float().cpu() - y.float().cpu()).abs().max()) for x, y in zip(a, b, strict=True))


def tiny() -> tuple[Act, Any]:
    """Make a small actor with all that the paper's has, and a batch of several embodiments, one without a view."""
    torch.manual_seed(0)
    wrist = {"image_size": 64, "widths": [8, 8, 16, 16], "num_tokens": 4, "num_heads": 2, "head_dim": 16}
    config = act_config("tiny", 4, wrist=wrist)
    batch = make_batch(config, 6, "cpu")
    views = torch.tensor([True, False, True, True, True, True])
    return Act(config).eval(), replace(batch, has_wrist=views, embodiment_id=torch.tensor([1, 2, 3, 1, 2, 0]))


def right_numbers() -> list[dict[str, Any]]:
    """Compare samples and losses of CPU and GPU, of eager calls and graphs, of float32 and bfloat16."""
    act, batch = tiny()
    expected, gpu, there = act.sample(batch), copy.deepcopy(act).cuda(), batch.to("cuda")
    graphed, eager = Sampler(gpu, graph=True), Sampler(gpu)
    first, again = graphed.sample(there), graphed.sample(there)
    other = replace(there, image=255 - there.image, embodiment_id=torch.tensor([3, 3, 1, 1, 0, 2]))
    half = Sampler(cast(copy.deepcopy(gpu), torch.bfloat16), graph=True)
    loss = [float(m.train().loss(b)[0].detach()) for m, b in ((copy.deepcopy(act), batch), (copy.deepcopy(gpu), there))]
    return [
        {"what": "cpu against gpu, float32", "largest": difference(expected, eager.sample(there)), "at_most": 1e-4},
        {"what": "graph against eager", "largest": difference(eager.sample(there), first), "at_most": 1e-5},
        {"what": "graph replayed", "largest": difference(first, again), "at_most": 0.0},
        {
            "what": "graph, other inputs",
            "largest": difference(eager.sample(other), graphed.sample(other)),
            "at_most": 1e-5,
        },
        {"what": "graphs recorded", "value": len(graphed.graphs.recordings if graphed.graphs else []), "expected": 1},
        {"what": "bfloat16 against float32", "largest": difference(expected, half.sample(there)), "at_most": 0.1},
        {"what": "loss, other random numbers", "cpu": loss[0], "gpu": loss[1]},
    ]


def waits_nowhere() -> list[dict[str, Any]]:
    """Predict and train with an error wherever the host waits."""
    act, batch = tiny()
    gpu, there = act.cuda(), batch.to("cuda")
    sampler = Sampler(gpu)
    stepping = Stepping(copy.deepcopy(gpu), there, "cuda", bf16=True, recompute=False, compiled=False)
    stepping.step()
    sampler.sample(there)
    checks = []
    for name, work in (("sampler", lambda: sampler.sample(there)), ("training step", stepping.step)):
        try:
            with no_waiting():
                work()
            checks.append({"what": name, "waits": False})
        except RuntimeError as error:
            where = [f"{f.filename.split('/')[-1]}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
            checks.append({"what": name, "waits": True, "where": " > ".join(where[-4:]), "error": str(error)[:200]})
    return checks


def transfers(clips: int) -> dict[str, Any]:
    """Copy batches while the device is at work: the host goes on, and what arrives is what was sent."""
    sent, transfer = lam_batch(lam_config("paper"), clips, "cpu").pinned(), Transfer(torch.device("cuda"))
    alone = min(1e3 * seconds_of(lambda: transfer(sent), "cuda") for _ in range(3))
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    torch.cuda.synchronize()
    with no_waiting():
        for _ in range(20):
            a = a @ a
        start = time.perf_counter()
        arrived = transfer(sent)
        host_ms = 1e3 * (time.perf_counter() - start)
    same = all(torch.equal(x.cpu(), sent.travelling()[name]) for name, x in arrived.travelling().items())
    return {"clips": clips, "copy_ms": alone, "host_ms_beside_work": host_ms, "equal": same}


def head_norm(clips: int, ours: bool) -> dict[str, Any]:
    """Time the norm of all heads' queries in one layer, forward and backward, ours and torch's own."""
    norm = (HeadNorm if ours else torch.nn.LayerNorm)(24).cuda()
    x = torch.randn(clips * 8, 32, 256, 24, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    def work() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            norm(x).sum().backward()

    work()
    return {"clips": clips, "ours": ours, "ms": min(1e3 * seconds_of(work, "cuda") for _ in range(3))}


def lam_step(clips: int, recompute: bool, compiled: bool = False) -> dict[str, Any]:
    """Train the paper's latent action model."""
    config = lam_config("paper")
    with torch.device("cuda"):
        lam = Lam(config)
    step = Stepping(lam, lam_batch(config, clips, "cuda"), "cuda", True, recompute, compiled).measure(3, warm=2)
    per_s = 1e3 * clips / step["step_ms"]
    mfu = 3 * lam_flops(config) * per_s / peak_flops("cuda", torch.bfloat16)[0]
    return {"clips": clips, "recompute": recompute, "compile": compiled, **step, "clips_per_s": per_s, "mfu": mfu}


def attention_over_time(clips: int, fused: bool) -> dict[str, Any]:
    """Time attention over the eight frames of every patch, forward and backward, as fused kernel and as products."""
    shape = (clips * 256, 32, 8, 24)
    q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))

    def work() -> None:
        if fused:
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = attend_briefly(q, k, v, causal=True)
        y.backward(torch.ones_like(y))

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    ms = min(1e3 * seconds_of(work, "cuda") for _ in range(3))
    return {"clips": clips, "fused": fused, "ms": ms, "gib": (torch.cuda.max_memory_allocated() - before) / 2**30}


def act_step(b: int, recompute: bool, compiled: bool = False) -> dict[str, Any]:
    """Train the paper's actor."""
    return measured("paper", "cuda", b, bf16=True, recompute=recompute, compiled=compiled, steps=4)


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("OUT", "."))
    log = Log(out / "gpu_check.jsonl", sys.argv[2:])
    torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    log.write({"check": "machine", "torch": torch.__version__, "gpu": name})
    log.attempt("right numbers", right_numbers)
    log.attempt("waits nowhere", waits_nowhere)
    log.attempt("transfer", lambda: transfers(64))
    log.attempt("predict", lambda: predictions("paper", "cuda", ["bf16", "bf16 graph"], 50))
    for clips, *how in ((16, False), (32, False), (64, True), (32, False, True)):
        log.attempt("lam step", lambda n=clips, how=how: lam_step(n, *how))  # type: ignore[misc]
    for b, *how in ((16, False), (32, False), (64, False), (64, True), (64, False, True), (80, False)):
        log.attempt("act step", lambda b=b, how=how: act_step(b, *how))  # type: ignore[misc]
    for ours in (True, False):
        log.attempt("head norm", lambda ours=ours: head_norm(16, ours))  # type: ignore[misc]
    log.attempt("predict", lambda: predictions("paper", "cuda", ["uncached"], 5))
    log.attempt("predict", lambda: predictions("paper", "cuda", ["bf16 graph"], 20, 8))
    log.attempt("predict", lambda: predictions("paper", "cuda", ["bf16 compile graph"], 50))
    for clips in (16, 64):
        log.attempt("attention over time", lambda n=clips: attention_over_time(n, fused=False))  # type: ignore[misc]
    for clips in (16, 64, 65, 128):  # the last, since it may end the process
        log.attempt("attention over time", lambda n=clips: attention_over_time(n, fused=True))  # type: ignore[misc]
    log.write({"check": "done", "act_gflop_forward": round(forward_flops(act_config("paper")) / 1e9, 3)})


if __name__ == "__main__":
    main()
