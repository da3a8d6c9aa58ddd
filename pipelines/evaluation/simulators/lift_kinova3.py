"""robosuite's Lift with a Kinova3 and its two-finger gripper, 15 Hz; all else as in `lift`."""

from typing import ClassVar

from pipelines.evaluation.simulators.lift import Lift


class LiftKinova3(Lift):
    """The same cube, another arm."""

    name: ClassVar[str] = "lift_kinova3"
    embodiment: ClassVar[str] = "kinova3"
    control_hz: ClassVar[float] = 15.0
    max_steps: ClassVar[int] = 135
    robot: ClassVar[str] = "Kinova3"
    finger_open: ClassVar[float] = -0.03
    finger_closed: ClassVar[float] = 0.55
