"""What an evaluation costs beside the simulator: the way to a policy server, and all that keeps episodes safe.

    .venv/bin/python benchmarks/bench_eval.py [--rounds 5] [--episodes 6]

1. Server and client: what a look costs beyond the policy itself (`infer_ms` of the reply), for each control step that
   is executed of its chunk, against a step of Meta-World with its share of a picture. No simulator here is faster than
   this one, so that the share is smaller elsewhere. Medians over looks.
2. Meta-World through today's evaluation (contract, watch, journal, filmstrips) against the bare loop of simulators and
   policy in the same process, on the same starts, in turns. Random weights solve nothing: every episode has all steps.
   By the clock, and by processor time, which other work on the machine hardly moves.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_serve import Server, save_policy
from claims import Claim, say

from pipelines.evaluation import playing
from pipelines.evaluation.actor import make_actor
from pipelines.evaluation.clients.openpi import RemotePolicy
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import Simulator, make_simulator
from pipelines.evaluation.unit import Unit, make_unit

GOAL_SHARE, GOAL_SLOWER = 0.10, 1.10
TASK, EXECUTED, ROBOTS = "window-close", 4, 3


@dataclass(frozen=True)
class Took:
    """Seconds of the same work by two measures."""

    clock_s: float
    cpu_s: float


def looks(policy: RemotePolicy, simulator: Simulator, count: int) -> list[tuple[float, float]]:
    """Play with a server; give milliseconds of each look beyond the policy, and of its steps with a picture."""
    simulator.reset(0)
    rows = []
    for _ in range(count):
        begin = time.perf_counter()
        seen = simulator.observe()
        looked = time.perf_counter()
        reply = policy.ask({"image": np.ascontiguousarray(seen.image), "state": seen.state, "prompt": "close the jar"})
        answered = time.perf_counter()
        for action in reply["actions"][:EXECUTED]:
            simulator.step(simulator.to_raw(np.asarray(action, np.float32)))
        ended = time.perf_counter()
        beyond = (answered - looked) * 1000 - reply["policy_timing"]["infer_ms"]
        rows.append((beyond, (looked - begin + ended - answered) * 1000))
    return rows


def overhead(folder: Path, rounds: int, simulator: Simulator) -> float:
    """Give the share of a simulated step that server and client cost; the median of rounds."""
    server = Server(folder, "--device", "cpu", "--num-euler-steps", "2")
    policy, shares = RemotePolicy(f"ws://127.0.0.1:{server.port}"), []
    looks(policy, simulator, 10)
    for _ in range(rounds):
        rows = looks(policy, simulator, 60)
        beyond, simulated = (statistics.median(one) / EXECUTED for one in zip(*rows, strict=True))
        shares.append(beyond / simulated)
        print(f"load {os.getloadavg()[0]:.1f}: a control step is {simulated:.2f} ms of simulation, server and client "
              f"{beyond:.2f} ms of it: {shares[-1]:.1%}", flush=True)  # fmt: skip
    policy.close()
    server.stop()
    return statistics.median(shares)


def bare(unit: Unit, simulators: list[Simulator]) -> None:
    """Play a task as plainly as can be."""
    actor = make_actor(unit)
    for _ in _play.play(simulators, actor, unit.seeds, execute=unit.execute, max_steps=unit.max_steps):
        pass


def whole(unit: Unit) -> None:
    """Play it as `villa eval` does in one of its processes; what a policy fits is looked at anew."""
    playing._checked.clear()
    playing._play_job(playing.Job(unit, unit.seeds))


def timed(act: Callable[[], None]) -> Took:
    clock, cpu = time.perf_counter(), time.process_time()
    act()
    return Took(time.perf_counter() - clock, time.process_time() - cpu)


def slower(folder: Path, out: Path, rounds: int, episodes: int, first: Simulator) -> tuple[float, float]:
    """Give how much longer today's evaluation takes than the bare loop, by the clock and by processor time."""
    simulators = [first, *(make_simulator("metaworld", TASK) for _ in range(ROBOTS - 1))]
    playing._simulators["metaworld", TASK] = simulators
    ratios = []
    for i in range(rounds + 1):
        config = EvalConfig(
            policy=str(folder), simulator="metaworld", tasks=(TASK,), episodes=episodes, num_envs=ROBOTS,
            out=out / str(i), num_euler_steps=2, accept=("range",), device="cpu", seed_offset=i * episodes,
        )  # fmt: skip
        unit = make_unit(config, TASK)
        arms = {"bare": lambda unit=unit: bare(unit, simulators), "whole": lambda unit=unit: whole(unit)}
        took = {name: timed(arms[name]) for name in sorted(arms, reverse=i % 2 == 1)}
        if i == 0:
            continue  # reads the policy, draws the first picture
        one, other = took["whole"], took["bare"]
        ratios.append((one.clock_s / other.clock_s, one.cpu_s / other.cpu_s))
        print(f"load {os.getloadavg()[0]:.1f}: {episodes} episodes, bare {other.clock_s:.1f} s ({other.cpu_s:.1f} of "
              f"processor), today's evaluation {one.clock_s:.1f} ({one.cpu_s:.1f}): {ratios[-1][0]:.3f} by the clock, "
              f"{ratios[-1][1]:.3f} by processor", flush=True)  # fmt: skip
    clock, cpu = (statistics.median(one) for one in zip(*ratios, strict=True))
    return clock, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "act"
        save_policy(folder, "tiny", robot="sawyer", rate_hz=20.0, has_wrist=False)
        simulator = make_simulator("metaworld", TASK)
        share = overhead(folder, asked.rounds, simulator)
        clock, cpu = slower(folder, Path(temporary) / "eval", asked.rounds, asked.episodes, simulator)
    say(
        [
            Claim(
                "server_and_client", GOAL_SHARE / share, 1.0, f"{GOAL_SHARE:.0%} of a simulated step", "goal / share"
            ),
            Claim("evaluation_by_clock", GOAL_SLOWER / clock, 1.0, "the bare loop times 1.1", "time"),
            Claim("evaluation_by_processor", GOAL_SLOWER / cpu, 1.0, "the bare loop times 1.1", "time"),
        ]
    )


if __name__ == "__main__":
    main()
