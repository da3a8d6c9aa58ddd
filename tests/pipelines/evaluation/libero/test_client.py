"""What runs in the simulator's environment: its numbers are those of our corpora, and it asks for little."""

import subprocess
import sys

import numpy as np
import pytest

from dataengine.sources.openx.libero import Libero
from pipelines.evaluation.clients.libero import actors
from pipelines.evaluation.clients.libero.episode import Protocol, Row, play, recorded
from pipelines.evaluation.clients.libero.scene import View, axis_angle

RANDOM = np.random.default_rng(0)
ABSENT = {"torch", "pydantic", "pyarrow", "lance", "typer", "rich", "av", "simplejpeg", "safetensors", "ray", "einops"}
"""Packages of ours that its environment does not have."""


def corpus_of(state: np.ndarray, action: np.ndarray):
    return Libero("").convert({"observation": {"state": state}, "action": action})


def test_a_policy_sees_the_state_that_recordings_become_in_a_corpus():
    state = np.concatenate([RANDOM.normal(size=6), [0.03, -0.02]]).astype(np.float32)
    motion = corpus_of(state[None], np.zeros((1, 7), np.float32))
    assert actors.canonical_state(state) == pytest.approx(motion.state[0], abs=1e-6)
    assert actors.canonical_state(state)[6] == pytest.approx(0.05 / 0.08)


def test_the_actions_of_a_corpus_become_those_that_were_recorded():
    recorded = RANDOM.uniform(-1, 1, (20, 7))
    recorded[:, 6] = np.sign(recorded[:, 6])
    motion = corpus_of(np.zeros((20, 8), np.float32), recorded.astype(np.float32))
    assert actors.raw_action(motion.action) == pytest.approx(recorded, abs=1e-5)
    assert actors.canonical_action(recorded) == pytest.approx(motion.action, abs=1e-6)


def test_a_hand_that_points_down_has_the_rotation_that_libero_records():
    # robosuite's quat2axisangle: angle 2 acos(w), not brought below half a turn.
    assert axis_angle(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx([np.pi, 0, 0])
    assert axis_angle(np.array([0.0, 0.0, np.sin(2.0), np.cos(2.0)])) == pytest.approx([0, 0, 4.0])
    assert axis_angle(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx([0, 0, 0])


def test_the_client_loads_nothing_that_its_environment_lacks():
    code = """
import runpy, sys
runpy.run_path("pipelines/evaluation/clients/_start.py")["name_packages"]()
import pipelines.evaluation.clients.libero.commands.play, pipelines.evaluation.clients.libero.commands.versions
print(*sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & ABSENT


class Counting:
    """A scene whose pictures count its control steps."""

    instruction = "count"

    def __init__(self) -> None:
        self.num_steps, self.drawn = 0, []

    def begin(self, *_start: object, **_rules: object) -> View:
        return self.view()

    def step(self, action: np.ndarray, *, look: bool) -> tuple[View, bool]:
        self.num_steps += 1
        self.drawn += [self.num_steps] if look else []
        return self.view(), self.num_steps == 11

    def view(self) -> View:
        image = np.zeros((4, 4, 3), np.uint8)
        image[0, 0] = self.num_steps
        return View(image, image, np.array([self.num_steps, 0, 0]), np.zeros(3), np.array([0.04, -0.04]), np.zeros(7))


def test_every_control_step_is_kept_as_it_was_seen_and_executed():
    scene, rows = Counting(), list[Row]()
    outcome = play(scene, actors.Blind(np.full((30, 7), 2.0)), ("official", 0), Protocol(20, 0), rows=rows)
    assert (outcome.success, outcome.steps, scene.drawn) == (True, 11, list(range(1, 12)))
    kept = recorded(rows)
    assert kept["state"][:, 0].tolist() == list(range(11)), "before each action"
    assert kept["image"][:, -1, -1, 0].tolist() == list(range(11)), "upright"
    assert kept["action"] == pytest.approx(actors.canonical_action(np.ones((11, 7)))), "the controller clips"
    unrecorded = Counting()
    play(unrecorded, actors.Blind(np.full((9, 7), 2.0)), ("official", 0), Protocol(9, 0))
    assert unrecorded.drawn == [9], "nobody looks in between"
