from tests.dataengine.sources.openx.cases._joints_by_hand import joints_by_hand
from tests.support.openx_case import Case


def case() -> Case:
    return joints_by_hand("franka_joint_delta", control_hz=30)
