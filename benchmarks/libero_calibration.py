"""Which wrong conventions and changes `villa eval calibrate libero` notices, one after another, in the real LIBERO.

    .venv/bin/python benchmarks/libero_calibration.py [ROW ...]

Each row replays one golden episode (task 1, a flat object) with one thing wrong, and prints how far it strays.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dataengine.vector_layout import VectorLayout
from pipelines.evaluation.calibrate import golden
from pipelines.evaluation.calibrate.calibrate import faults_of
from pipelines.evaluation.calibrate.config import CalibrateConfig
from pipelines.evaluation.calibrate.rollout import replay
from pipelines.evaluation.libero.calibrate import GOLDEN
from pipelines.evaluation.libero.environment import find_python
from pipelines.evaluation.libero.remote import RemoteScene


class Wrong:
    """A scene in which one thing is wrong."""

    def __init__(self, scene: RemoteScene, act: Callable | None = None, look: Callable | None = None) -> None:
        self._scene, self._act, self._look = scene, act, look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def step(self, raw_action: np.ndarray) -> bool:
        return self._scene.step(self._act(raw_action) if self._act else raw_action)

    def observe(self) -> Any:
        seen = self._scene.observe()
        return seen if self._look is None else replace(seen, image=self._look(seen.image), wrist=self._look(seen.wrist))


class Late:
    """Actions come one step late."""

    def __init__(self) -> None:
        self.before = np.array([0, 0, 0, 0, 0, 0, -1.0])

    def __call__(self, action: np.ndarray) -> np.ndarray:
        action, self.before = self.before, action
        return action


def times(*factors: float) -> Callable:
    return lambda action: action * np.array(factors)


ROWS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "gripper sign": {"act": times(1, 1, 1, 1, 1, 1, -1)},
    "translation x0.9": {"act": times(0.9, 0.9, 0.9, 1, 1, 1, 1)},
    "rotation zeroed": {"act": times(1, 1, 1, 0, 0, 0, 1)},
    "rotation sign": {"act": times(1, 1, 1, -1, -1, -1, 1)},
    "one step late": {"act": Late},
    "no settling": {"settle_steps": 0},
    "no reset": {"reset": False},
    "control at 10 Hz": {"control_hz": 10.0},
    "camera turned by 2 degrees": {"camera_turn_deg": 2.0},
    "full rendering": {"quality": "full"},
    "upside down": {"look": lambda picture: picture[::-1]},
    "mirrored": {"look": lambda picture: picture[:, ::-1]},
    "BGR": {"look": lambda picture: picture[..., ::-1]},
    "darker by 5 %": {"look": lambda picture: (picture * 0.95).astype(np.uint8)},
    "moved by 2 columns": {"look": lambda picture: np.roll(picture, 2, axis=1)},
}


def main() -> None:
    python = find_python("")
    rollouts, _ = golden.load(GOLDEN["fast"])
    rollout = rollouts[1]
    layout = VectorLayout.of("eef_pose", rollout.states.shape[1])
    config = CalibrateConfig(simulator="libero")
    print("| row | mm | degrees | gripper | grey levels | done after | noticed |\n|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or ROWS:
        row = ROWS[name]
        kwargs = {key: row[key] for key in row if key not in ("act", "look")}
        act = row.get("act")
        with RemoteScene(python, int(rollout.task.rpartition("/")[2]), **kwargs) as scene:
            if "reset" in kwargs:  # an episode comes before, which leaves something behind
                scene._reset = True
                replay(scene, rollout, layout)
                scene._reset = False
            wrong = Wrong(scene, act() if act is Late else act, row.get("look"))
            one = replay(wrong, rollout, layout)
        facts = (f"{one.position_mm:.3g}", f"{one.rotation_deg:.3g}", f"{one.other:.3g}", f"{one.grey_levels:.3g}")
        noticed = "yes" if faults_of(one, config) else "no"
        print(f"| {name} | {' | '.join(facts)} | {one.success_step} | {noticed} |", flush=True)


if __name__ == "__main__":
    main()
