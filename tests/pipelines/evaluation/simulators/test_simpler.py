"""SIMPLER's adapter: what its numbers mean, what is said where it cannot be played, and both ways to count."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.evaluation.clients.simpler.twins import DATASET, ROBOT, TWINS, missing_files, unlike_published
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.contract import expected_by_server, offered_by, stated_mismatches
from pipelines.evaluation.evaluate import run
from pipelines.evaluation.simpler.environment import NotReadyError, require
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import simulator_class, step_limit
from pipelines.evaluation.simulators.simpler import TASKS, Simpler, canonical_state
from tests.support.line_simulators import Line

SIMULATOR = object.__new__(Simpler)
"""Without its process: what numbers mean needs none."""


def test_turns_become_the_controllers_angles_and_not_a_rotation_vector() -> None:
    action = np.array([0.01, -0.02, 0.03, 0.3, 0.4, 0.5, 1.0])
    raw_action = SIMULATOR.to_raw(action)
    controller = Rotation.from_euler(
        "XYZ", raw_action[3:6] * 0.25
    )  # pytorch3d's convention, measured in ManiSkill 3.0.1
    assert (controller * Rotation.from_euler("xyz", action[3:6]).inv()).magnitude() < 1e-6
    assert not np.allclose(raw_action[3:6] * 0.25, Rotation.from_euler("xyz", action[3:6]).as_rotvec(), atol=0.01)
    np.testing.assert_allclose(SIMULATOR.to_canonical(raw_action), action, atol=1e-6)


@pytest.mark.parametrize(("opening", "command"), [(0.0, -1.0), (0.5, -1.0), (0.51, 1.0), (1.0, 1.0)])
def test_the_gripper_opens_above_half(opening: float, command: float) -> None:
    assert SIMULATOR.to_raw(np.array([0, 0, 0, 0, 0, 0, opening]))[6] == command


def test_a_hand_that_looks_down_has_no_angles_and_fingers_say_the_opening() -> None:
    down = Rotation.from_matrix([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]).as_quat()  # x y z w
    raw_state = np.array([0.3, 0.0, 0.1, down[3], *down[:3], 0.026, 0.026], np.float32)
    np.testing.assert_allclose(canonical_state(raw_state), [0.3, 0, 0.1, 0, 0, 0, 0.5], atol=1e-6)


def test_the_contract_is_that_of_bridges_recordings() -> None:
    state, action = offered_by(Simpler)
    assert (state.encoding, state.dim, action.encoding, action.grippers) == ("eef_pose", 7, "eef_delta", (6,))
    facts = {"rate_hz": 15.0, "action_encoding": "joint_delta", "action_dim": 7}
    expected = expected_by_server("ws://x", {"embodiments": {"widowx": facts}}, "widowx")
    assert [one.kind for one in stated_mismatches(expected, Simpler)] == ["rate", "encoding"]


def test_an_eggplant_takes_longer() -> None:
    assert [step_limit(Simpler, task) for task in TASKS] == [60, 60, 60, 120]
    assert {task.removesuffix("_jittered") for task in Simpler.tasks} == set(TASKS) == set(TWINS)


def test_files_that_are_missing_are_named_also_those_that_a_mesh_refers_to(tmp_path: Path) -> None:
    task = "widowx_carrot_on_plate"
    carrot = DATASET / "custom/models/bridge_carrot_generated_modified"
    for path in missing_files(tmp_path, task):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("<init_from>skin.png</init_from>")
    assert set(missing_files(tmp_path, task)) == {
        str(DATASET / "custom/models" / model / "skin.png") for model in TWINS[task].models
    }
    (tmp_path / ROBOT / "wx250s.urdf").unlink()
    assert {str(ROBOT / "wx250s.urdf"), str(carrot / "skin.png")} <= set(missing_files(tmp_path, task))
    assert unlike_published(tmp_path, task) == [str(DATASET / "stages/bridge_table_1_v1.glb")]


PYTHON = """#!/bin/sh
case "$3" in preflight) cat {folder}/preflight.json ;; *) echo '{{"event": "alive", "drivers": [], "mesa": "22.3.6"}}'
kill -11 $$ ;; esac
"""
THERE = '{{"mani_skill": "{}", "sapien": "3.0.3", "torch": "2", "numpy": "1", "gymnasium": "1"}}'


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    monkeypatch.setenv("VILLA_SIMPLER_PYTHON", str(python))
    require.cache_clear()
    with pytest.raises(NotReadyError) as caught:
        require("widowx_stack_cube")
    assert "make sim-simpler" in caught.value.details[0]
    python.write_text(PYTHON.format(folder=tmp_path))
    python.chmod(0o755)
    facts = f'"versions": {THERE.format("")}, "root": "/assets", "missing": ["tasks/a.glb"], "unlike": []'
    (tmp_path / "preflight.json").write_text(f'{{"event": "ended", {facts}}}\n')
    with pytest.raises(NotReadyError) as caught:
        require("widowx_stack_cube")
    said = "\n".join(caught.value.details)
    for part in (
        "mani_skill is not in",
        "tasks/a.glb",
        "download_asset bridge_v2_real2sim",
        "signal 11",
        "Mesa 22.3.6",
    ):
        assert part in said


class ToEnd(Line):
    """Counts where it is when the last step is over."""

    plays_to_end = True
    least_episodes = 75


def test_success_at_the_last_step_and_at_any_step_are_told_apart() -> None:
    simulator = ToEnd("forward")
    [passed] = _play.play([simulator], _play.Expert(), [0], execute=1, max_steps=12)
    [stayed] = _play.play([simulator], _play.Expert(), [0], execute=1, max_steps=10)
    assert (passed.success, passed.solved_ever, passed.steps) == (False, True, 12)
    assert (stayed.success, stayed.solved_ever) == (True, True)
    [once] = _play.play([Line("forward")], _play.Expert(), [0], execute=1, max_steps=12)
    assert (once.success, once.steps) == (True, 10)


@pytest.mark.slow
def test_the_report_names_both_counts_and_warns_of_few_episodes(tmp_path: Path) -> None:
    name = f"{__name__}:ToEnd"
    assert simulator_class(name) is ToEnd
    tasks = ("forward",)
    report = run(EvalConfig(policy="expert", simulator=name, tasks=tasks, episodes=2, processes=1, out=tmp_path))
    assert (report.results[0].successes, report.results[0].solved_ever) == (0, 2)
    said = report.summary()
    assert "(truncation); at any step (accumulation): 2 of 2" in said
    assert "2 episodes a task are noise, line asks for 75 or more" in said
