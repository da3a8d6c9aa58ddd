"""A benchmark for vla-eval: a hand that notes the actions it gets; done after as many steps as the task says."""

import json
import os
from pathlib import Path

import numpy as np
from vla_eval.benchmarks.base import StepBenchmark, StepResult
from vla_eval.specs import DimSpec

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


class HandBenchmark(StepBenchmark):
    render_backends = frozenset({"gpu", "cpu"})

    def __init__(self, steps=6, text="close the jar", send_state=True, **_):
        super().__init__()
        self.steps, self.text, self.send_state = steps, text, send_state

    def get_tasks(self):
        return [{"name": "jar", "suite": "toy"}]

    def reset(self, task):
        self.count, self.taken = 0, []
        return {}

    def step(self, action):
        self.count += 1
        self.taken.append(np.asarray(action["actions"]).tolist())
        return StepResult(obs={}, reward=0.0, done=self.count >= self.steps, info={})

    def make_obs(self, raw_obs, task):
        state = {"states": np.zeros(7, np.float32)} if self.send_state else {}
        return {"images": {"agentview": PICTURE}, "task_description": self.text, **state}

    def get_step_result(self, step_result):
        with Path(os.environ["TAKEN"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.taken) + "\n")
        return {"success": True}

    def get_action_spec(self):
        return {
            "position": DimSpec("position", 3, "delta_xyz"),
            "rotation": DimSpec("rotation", 3, "euler_xyz"),
            "gripper": DimSpec("gripper", 1, "continuous_01"),
        }

    def get_observation_spec(self):
        return {
            "language": DimSpec("language", 0, "language"),
            "state": DimSpec("state", 7, "canonical_eef_pose"),
        }
