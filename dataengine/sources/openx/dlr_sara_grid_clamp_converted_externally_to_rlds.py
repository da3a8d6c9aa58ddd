"""SARA places a grid clamp (`dlr_sara_grid_clamp_converted_externally_to_rlds` 0.1.0), 10 Hz.

observation/state  (t, 12)  as of the pouring, and six numbers of wrench behind it -> state [x y z roll pitch yaw]
action             (t, 7)   as of the pouring                                      -> made anew, as there

The wrench stays in `raw_state`. All else, doubts too, as in dlr_sara_pour_converted_externally_to_rlds.py. The texts
that were published with it speak of pouring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx.dlr_sara_pour_converted_externally_to_rlds import DlrSaraPourConvertedExternallyToRlds


@dataclass(frozen=True)
class DlrSaraGridClampConvertedExternallyToRlds(DlrSaraPourConvertedExternallyToRlds):
    """Placing a clamp into grids on a table, one camera."""

    name: ClassVar[str] = "openx/dlr_sara_grid_clamp_converted_externally_to_rlds"
    keys: ClassVar[Mapping[str, int]] = {"observation/state": 12, "action": 7}
