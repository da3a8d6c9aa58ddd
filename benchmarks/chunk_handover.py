"""How far a robot's action jumps where one chunk follows another, under latency, with and without real-time chunking.

A policy plays a task of Meta-World while `--delay` control steps pass between a look and the chunk that comes of it.
The jump is the mean change of the normalised action (1 is half the usual range) from the last step of the old chunk to
the first of the new one; beside it stands the change between other neighbouring steps, and how many episodes succeeded.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.chunks import Chunks
from pipelines.evaluation.policy import ActPolicy
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM
from pipelines.evaluation.simulators.metaworld import Metaworld


class Noting:
    """An actor that notes what each robot is told to do."""

    looks = True

    def __init__(self, actor: _play.InRealTime) -> None:
        self.actor, self.done = actor, dict[tuple[int, int], NDArray[np.float32]]()

    def act(self, lanes: Sequence[_play.Lane]) -> Sequence[NDArray[np.float32]]:
        chunks = self.actor.act(lanes)
        self.done |= {(lane.seed, lane.steps): chunk for lane, chunk in zip(lanes, chunks, strict=True)}
        return chunks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy")
    parser.add_argument("--task", default="window-open")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--action-steps", type=int, default=4)
    parser.add_argument("--delay", type=int, default=3)
    options = parser.parse_args()
    policy = ActPolicy.load(options.policy, "cpu", dataset=Metaworld.source)
    simulators = [Metaworld(options.task) for _ in range(min(10, options.episodes))]
    seeds = [EVAL_SEEDS_FROM + i for i in range(options.episodes)]
    for name, beta in (("late", None), ("continued", 5.0)):
        make = partial(Chunks, options.action_steps, None, options.delay)
        actor = Noting(_play.InRealTime(policy, Metaworld.tasks[options.task], make, options.action_steps, beta))
        limit = {"execute": options.action_steps, "max_steps": Metaworld.max_steps}
        played = list(_play.play(simulators, actor, seeds, **limit))
        jumps, others = [], []
        for seed in seeds:
            looks = sorted(step for one, step in actor.done if one == seed)
            actions = np.concatenate([actor.done[seed, step] for step in looks])
            scaled = policy.normalizer.normalize("sawyer", "action", actions, Metaworld.source)
            change = np.abs(np.diff(scaled, axis=0))[:, policy.normalizer.varies("sawyer", "action", Metaworld.source)]
            for step, each in enumerate(change.mean(axis=1), 1):
                late = (
                    step > options.action_steps and step % options.action_steps == options.delay % options.action_steps
                )
                (jumps if late else others).append(float(each))
        won = sum(one.success for one in played)
        facts = {"jump": np.mean(jumps), "elsewhere": np.mean(others)}
        print(
            json.dumps(
                {"chunks": name, "won": won, "of": len(seeds), **{k: round(float(v), 4) for k, v in facts.items()}}
            )
        )


if __name__ == "__main__":
    main()
