"""SIMPLER: digital twins of BridgeData V2, a WidowX 250 before a photographed background (ManiSkill3, SAPIEN 3).

motion    (3,)  share of 0.05 m        <- canonical action[:3] / 0.05 m
turn      (3,)  share of 0.25 rad      <- canonical action[3:6], roll pitch yaw, as the controller's angles / 0.25 rad
gripper   (1,)  -1 closes, +1 opens    <- -1 up to half open, +1 above
hand      (7,)  metres, quaternion     -> state[:6]; the rotation is relative to a hand that looks down, as in Bridge
fingers   (2,)  0.015 to 0.037 m       -> state[6], 0 closed to 1 open

ManiSkill's controller takes metres and radians, without bounds; shares of what is large in Bridge are ours, so that
random actions are those of a robot. The first SIMPLER took rotation vectors; ManiSkill3's controller composes three
turns about the base's moving axes (`XYZ`), although both are called alike. It lives in an environment of its own.

A task whose name ends in `_jittered` begins beside the benchmark's starts, elsewhere with every seed, for recordings.
"""

import base64
from collections.abc import Mapping, Sequence
from threading import Event
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from pipelines.evaluation.client_process import ClientProcess
from pipelines.evaluation.clients.simpler.hand import LOOKS_DOWN
from pipelines.evaluation.simpler.environment import client, require, start_failed
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Observation, check_task

STEP_M, STEP_RAD = 0.05, 0.25
LARGE = np.array([*[STEP_M] * 3, *[STEP_RAD] * 3, 1.0])
FINGERS_M = (0.015, 0.037)
SILENCE_S = 240.0
JITTERED = "_jittered"
TASKS = MappingProxyType(
    {
        "widowx_spoon_on_towel": "put the spoon on the towel",
        "widowx_carrot_on_plate": "put carrot on plate",
        "widowx_stack_cube": "stack the green block on the yellow block",
        "widowx_put_eggplant_in_basket": "put eggplant into yellow basket",
    }
)
SCRIPTED = tuple(TASKS)[:3]
"""Those on the table, which the expert knows."""


class SimulatorLostError(RuntimeError):
    """The simulator's process died, or says nothing."""


class Simpler:
    """One task; the simulation is a process of SIMPLER's own environment."""

    name: ClassVar[str] = "simpler"
    source: ClassVar[str] = "openx/bridge_orig"
    embodiment: ClassVar[str] = "widowx"
    control_hz: ClassVar[float] = 5.0
    max_steps: ClassVar[int] = 60
    steps_of_task: ClassVar[Mapping[str, int]] = MappingProxyType({"widowx_put_eggplant_in_basket": 120})
    expert_noise: ClassVar[float] = 0.0
    raw_action_dim: ClassVar[int] = 7
    max_envs: ClassVar[int] = 1
    plays_to_end: ClassVar[bool] = True
    least_episodes: ClassVar[int] = 75
    """Of a task: with fewer, its authors call a rate noise (simpler-env/SimplerEnv, issues 108 and 125)."""
    starts_of_task: ClassVar[Mapping[str, int]] = MappingProxyType(dict.fromkeys(TASKS, 24))
    tasks: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**TASKS, **{task + JITTERED: TASKS[task] for task in SCRIPTED}}
    )
    default_tasks: ClassVar[tuple[str, ...]] = tuple(TASKS)
    published: ClassVar[str] = (
        "villa-X, in brackets without latents, per cent: spoon 77.9 (61.7), carrot 46.3 (31.3), cube 61.3 (28.3), "
        "eggplant 64.6 (74.6) (arXiv:2507.23682v3, table 2; 240 trials a task in the first SIMPLER)"
    )

    def __init__(self, task: str) -> None:
        check_task(Simpler, task)
        twin = task.removesuffix(JITTERED)
        self.task, self.facts = task, require(twin)
        self._process = ClientProcess(client(), "scene", task=twin, jitters=twin != task)
        answer = self._process.hear(SILENCE_S, Event())
        if answer["event"] != "ready":
            self._process.end()
            raise start_failed(answer["why"])

    @classmethod
    def notes(cls, tasks: Sequence[str]) -> list[str]:
        """Say what is there, but is not the benchmark's own."""
        unlike = sorted({path for task in tasks for path in require(task.removesuffix(JITTERED))["unlike"]})
        publisher = "simpler-env/ManiSkill2_real2sim"
        return [f"not those of {publisher}, so no rate to compare: {', '.join(unlike)}"] if unlike else []

    def reset(self, seed: int) -> None:
        """Begin at a start of the benchmark's grid, whose 24 begin anew; a jittered one belongs to its seed alone."""
        starts = self.starts_of_task.get(self.task)
        self._ask("begin", start=(seed - EVAL_SEEDS_FROM) % starts if starts else seed)

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Act for one control step."""
        action = np.asarray(raw_action, np.float64) * LARGE
        return bool(self._ask("step", action=action.tolist())["solved"])

    def observe(self) -> Observation:
        """Look."""
        seen = self._ask("observe")
        raw_state = np.array([*seen["hand"], *seen["fingers"]], np.float32)
        return Observation(
            image=np.frombuffer(base64.b64decode(seen["image"]), np.uint8).reshape(*seen["size"], 3),
            raw_state=raw_state,
            state=canonical_state(raw_state),
            embodiment=self.embodiment,
            control_hz=self.control_hz,
        )

    def expert(self) -> NDArray[np.float32]:
        """Ask the expert beside the simulation; raise DataEngineError for a task that nobody scripted."""
        if self.task.removesuffix(JITTERED) not in SCRIPTED:
            raise DataEngineError(
                f"simpler has no scripted expert for {self.task}, but for {', '.join(SCRIPTED)}; `random` and `replay` "
                f"may stand beside a policy"
            )
        return np.asarray(self._ask("expert")["action"] / LARGE, np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn a canonical action (7,) into shares of a large step, and the gripper's into one of two."""
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_euler("xyz", np.asarray(action[3:6], np.float64)).as_euler("XYZ")
        opens = 1.0 if action[6] > 0.5 else -1.0
        return np.array([*(action[:3] / STEP_M), *(turn / STEP_RAD), opens], np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn shares of a large step into metres, roll pitch yaw and opening (7,)."""
        from scipy.spatial.transform import Rotation

        turn = Rotation.from_euler("XYZ", np.asarray(raw_action[3:6], np.float64) * STEP_RAD).as_euler("xyz")
        return np.array([*(raw_action[:3] * STEP_M), *turn, float(raw_action[6] > 0)], np.float32)

    def _ask(self, what: str, **facts: Any) -> dict[str, Any]:
        self._process.ask({"do": what, **facts})
        answer = self._process.hear(SILENCE_S, Event())
        if answer["event"] != "ended":
            self._process.end()
            raise SimulatorLostError(answer.get("why", "answered out of turn"))
        return answer


def canonical_state(raw_state: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make of pose and fingers (9,) what Bridge's recordings say: x y z roll pitch yaw gripper (7,)."""
    from scipy.spatial.transform import Rotation

    hand = Rotation.from_quat(raw_state[[4, 5, 6, 3]].astype(np.float64)).as_matrix()
    angles = Rotation.from_matrix(hand @ LOOKS_DOWN.T).as_euler("xyz")
    closed, opened = FINGERS_M
    opening = np.clip((raw_state[7:9].mean() - closed) / (opened - closed), 0.0, 1.0)
    return np.array([*raw_state[:3], *angles, opening], np.float32)
