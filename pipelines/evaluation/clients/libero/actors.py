"""What decides in an episode: chance, an expert that sees all, a recording played blind, a policy behind a server.

A policy of this project reads and writes canonical numbers (metres, radians as roll pitch yaw, gripper 0 closed to 1
open); any other server is taken to be openpi's own kind, which reads and writes what LIBERO does.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dataengine import conventions
from pipelines.evaluation.clients.libero.expert import METRES_PER_STEP, RADIANS_PER_STEP, Expert
from pipelines.evaluation.clients.libero.scene import SETTLE, Scene, View, upright
from pipelines.evaluation.clients.openpi import RemotePolicy

FULL_WIDTH_M = 0.08
"""Between the two fingers of an open hand."""
PICTURES = ("seen", "blank", "swapped")
"""What a policy is shown: what the cameras see; black; what they saw first in another task of the suite."""


class Actor(Protocol):
    """Decides what to do next."""

    def begin(self, scene: Scene) -> None:
        """Begin an episode; the objects have come to rest."""
        ...

    def act(self, view: View) -> NDArray[np.float64]:
        """(k, 7) actions to execute before the next look."""
        ...


class Random:
    """Moves at random: what success is worth that needs no skill."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def begin(self, scene: Scene) -> None:
        """Nothing to prepare."""

    def act(self, view: View) -> NDArray[np.float64]:
        """(8, 7) actions, uniform."""
        return self._random.uniform(-1, 1, (8, 7))


class Scripted:
    """The expert with privileged poses: what the simulator lets anyone reach."""

    def begin(self, scene: Scene) -> None:
        """Find the grasp."""
        self._expert = Expert(scene)

    def act(self, view: View) -> NDArray[np.float64]:
        """(1, 7) its next action."""
        return self._expert.act(view)[None]


class Blind:
    """Plays one recorded sequence of actions, whatever the start: what success is worth that needs no eyes."""

    def __init__(self, actions: NDArray[np.float64]) -> None:
        self._actions = actions

    def begin(self, scene: Scene) -> None:
        """Nothing to prepare."""

    def act(self, view: View) -> NDArray[np.float64]:
        """(n, 7) all of it, then standing still."""
        actions, self._actions = self._actions, SETTLE[None] * [1, 1, 1, 1, 1, 1, self._actions[-1, 6] * -1]
        return actions


class Served:
    """A policy behind a server."""

    def __init__(
        self,
        policy: RemotePolicy,
        *,
        action_steps: int,
        gripper: str = "continuous",
        pictures: str = "seen",
        others: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
        embodiment: str = "",
    ) -> None:
        """`gripper` is `continuous`, as the policy says, or `binary`: from half on, and at zero, it closes."""
        self._policy, self._action_steps, self._binary = policy, action_steps, gripper == "binary"
        self._pictures, self._others, self._embodiment = pictures, others, embodiment
        self._canonical = policy.metadata.get("server") == "villa-engine"

    def begin(self, scene: Scene) -> None:
        """Tell the server that an episode begins."""
        self._policy.begin()
        self._instruction = scene.instruction

    def act(self, view: View) -> NDArray[np.float64]:
        """(k, 7) the first actions of the policy's chunk."""
        image, wrist = self._shown(view)
        state = canonical_state(view.state) if self._canonical else view.state
        observation: dict[str, Any] = {
            "observation/image": image,
            "observation/wrist_image": wrist,
            "observation/state": state,
            "prompt": self._instruction,
        }
        if self._canonical and self._embodiment:
            observation["embodiment"] = self._embodiment
        actions = np.asarray(self._policy.ask(observation)["actions"][: self._action_steps or None], np.float64)
        raw = raw_action(actions) if self._canonical else actions
        if self._binary:
            raw[:, 6] = np.where(raw[:, 6] < 0, -1.0, 1.0)
        return raw

    def _shown(self, view: View) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if self._pictures == "blank":
            return np.zeros_like(view.image), np.zeros_like(view.wrist)
        if self._pictures == "swapped":
            assert self._others is not None, "pictures of another task were looked at before"
            return self._others
        return upright(view.image), upright(view.wrist)


def canonical_state(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make of what LIBERO says (8,) what its recordings become in a corpus: x y z roll pitch yaw gripper (7,)."""
    width = np.clip((state[6] - state[7]) / FULL_WIDTH_M, 0, 1)
    turned = conventions.axis_angle_to_euler(state[3:6])
    return np.concatenate([state[:3], turned, [width]]).astype(np.float32)


def raw_action(action: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make of canonical actions (k, 7) LIBERO's own (k, 7), clipped to what its controller takes."""
    turn = Rotation.from_euler("xyz", action[:, 3:6]).as_rotvec() / RADIANS_PER_STEP
    closing = 1.0 - 2.0 * action[:, 6:7]
    return np.clip(np.concatenate([action[:, :3] / METRES_PER_STEP, turn, closing], axis=1), -1.0, 1.0)


def canonical_action(action: NDArray[np.float64]) -> NDArray[np.float32]:
    """Make of LIBERO's own actions (k, 7) what its recordings become in a corpus: metres, roll pitch yaw, opening."""
    turn = conventions.axis_angle_to_euler(action[:, 3:6] * RADIANS_PER_STEP)
    opening = conventions.open_from_closing(action[:, 6:7])
    return np.concatenate([action[:, :3] * METRES_PER_STEP, turn, opening], axis=1).astype(np.float32)
