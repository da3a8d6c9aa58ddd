from tests.dataengine.sources.openx.cases._gnm import gnm
from tests.support.openx_case import Case


def case() -> Case:
    return gnm("turtlebot2_planar", control_hz=10)
