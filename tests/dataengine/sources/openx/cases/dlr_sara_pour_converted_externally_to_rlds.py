from tests.dataengine.sources.openx.cases._dlr_sara import sara
from tests.support.openx_case import Case


def case() -> Case:
    return sara(width=6)
