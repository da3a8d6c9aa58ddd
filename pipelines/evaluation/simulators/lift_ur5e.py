"""robosuite's Lift with a UR5e and its two-finger gripper, 10 Hz; all else as in `lift`."""

from typing import ClassVar

from pipelines.evaluation.simulators.lift import Lift


class LiftUr5e(Lift):
    """The same cube, another arm."""

    name: ClassVar[str] = "lift_ur5e"
    embodiment: ClassVar[str] = "ur5e"
    control_hz: ClassVar[float] = 10.0
    max_steps: ClassVar[int] = 90
    robot: ClassVar[str] = "UR5e"
    finger_open: ClassVar[float] = -0.03
    finger_closed: ClassVar[float] = 0.55
