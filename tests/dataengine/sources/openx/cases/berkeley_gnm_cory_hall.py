from tests.dataengine.sources.openx.cases._gnm import gnm
from tests.support.openx_case import Case


def case() -> Case:
    return gnm("rc_car_planar", control_hz=5)
