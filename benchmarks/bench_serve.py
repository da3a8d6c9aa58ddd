"""What `villa serve` adds to a policy, and what answering several clients at once is worth; clients are processes.

Overhead is what a client of openpi waits beyond what the policy itself took (`infer_ms` of the reply): writing and
sending, reading and checking the frame (two pictures of 224 x 224, a state, words), threads, the way back. One after
the other means that each client waits for the one before, as with a server that knows one client.
"""

import argparse
import json
import multiprocessing
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from claims import Claim, say

GOAL_MS, GOAL_RATIO = 3.0, 3.0
READY = re.compile(r"ready: openpi on ws://[^:]+:(\d+)/,")


def save_policy(
    folder: Path, preset: str, *, robot: str = "arm", rate_hz: float = 10.0, has_wrist: bool = True
) -> None:
    """Write a policy of a preset's size with random weights."""
    import torch

    from dataengine.windows.stats import EmbodimentStatistics, Statistics
    from models.act import Act, ActConfig
    from models.weights import save_model
    from pipelines.training import presets
    from pipelines.training.tokenizer import Tokenizer

    one = np.ones(7)
    numbers = Statistics(count=9, mean=0 * one, std=one, min=-one, max=one, q01=-one, q99=one, moves=(0, 1, 2, 3, 4, 5))
    body = {"embodiment_id": 1, "dataset_id": 1, "control_hz": rate_hz, "steps_per_latent": 3}
    wrist = {"image_size": 64, "widths": [16, 32, 32, 64], "num_tokens": 4, "num_heads": 2, "head_dim": 16}
    more = {"state_dims": (7, 7), "action_dims": (7, 7), "num_datasets": 2, **({"wrist": wrist} if has_wrist else {})}
    torch.manual_seed(0)
    model = Act(presets.shape(ActConfig, "train_act", preset, **more))
    statistics = {robot: EmbodimentStatistics(state=numbers, action=numbers).to_json()}
    save_model(model, folder, {"bodies": {robot: body}, "statistics": statistics})
    (folder / "tokenizer.json").write_text(Tokenizer.train(["close the jar"], 300).text)


class Server:
    """A server process on a free port."""

    def __init__(self, policy: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "cli", "serve", str(policy), "--port", "0", "--json", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if ready := READY.search(line):
                self.port = int(ready[1])
                return
        raise SystemExit("the server did not start")

    def stop(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        return json.loads(self.process.communicate()[0])


def ask(port: int, count: int, seed: int, start: Any, results: Any) -> None:
    """Be one client: ask so often, and say what each answer took here and in the policy, and when it was over."""
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    draw = np.random.default_rng(seed)
    seen = {
        "observation/image": draw.integers(0, 255, (224, 224, 3), np.uint8),
        "observation/wrist_image": draw.integers(0, 255, (224, 224, 3), np.uint8),
        "observation/state": draw.uniform(-0.5, 0.5, 7),
        "prompt": "close the jar",
    }
    client = WebsocketClientPolicy("127.0.0.1", port)
    for _ in range(5):
        client.infer(seen)
    start.wait()
    began, took = time.perf_counter(), []
    for _ in range(count):
        before = time.perf_counter()
        reply = client.infer(seen)
        took.append(((time.perf_counter() - before) * 1000, reply["server_timing"]["infer_ms"]))
    results.put((took, time.perf_counter() - began))


def run(port: int, clients: int, count: int) -> tuple[list[tuple[float, float]], float]:
    """Let clients ask at once; return what each answer took (all, policy) in ms, and seconds for all of them."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(clients), context.Queue()
    processes = [context.Process(target=ask, args=(port, count, i, start, results)) for i in range(clients)]
    for process in processes:
        process.start()
    measured = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return [one for took, _ in measured for one in took], max(seconds for _, seconds in measured)


def at(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--count", type=int, default=1000, help="answers to one client")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many: other work on the machine adds")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "act"
        save_policy(policy, options.preset)
        server = Server(policy, "--max-batch", str(options.clients), "--device", options.device)
        p99, alone, batched = [], [], []
        for _ in range(options.rounds):
            took, seconds = run(server.port, 1, options.count)
            over = [whole - infer for whole, infer in took]
            infer = [infer for _, infer in took]
            p99.append(at(over, 0.99))
            alone.append(options.count / seconds)
            print(f"1 client: overhead ms p50 {at(over, 0.5):.2f}, p99 {at(over, 0.99):.2f}; "
                  f"policy p50 {at(infer, 0.5):.2f}, p99 {at(infer, 0.99):.2f}; {alone[-1]:.0f} answers/s")  # fmt: skip
            took, seconds = run(server.port, options.clients, options.count // options.clients)
            batched.append(len(took) / seconds)
            waits = [whole for whole, _ in took]
            print(f"{options.clients} clients: answer ms p50 {at(waits, 0.5):.1f}, p99 {at(waits, 0.99):.1f}; "
                  f"{batched[-1]:.0f} answers/s")  # fmt: skip
        print(f"in the server, by stage: {json.dumps(server.stop()['ms'])}")
    say(
        [
            Claim("overhead_p99", GOAL_MS / min(p99), 1.0, f"{GOAL_MS:g} ms a request", "goal / p99"),
            Claim("batched", max(batched) / max(alone), GOAL_RATIO, "one client after the other", "answers/s"),
        ]
    )


if __name__ == "__main__":
    main()
