from tests.dataengine.sources.openx.cases._joints_by_hand import joints_by_hand
from tests.support.openx_case import Case
from tests.support.openx_values import numbers


def case() -> Case:
    return joints_by_hand("xarm_joint_delta", control_hz=5, pose=numbers(7))
