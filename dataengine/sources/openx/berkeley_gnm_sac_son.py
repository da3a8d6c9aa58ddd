"""SACSoN (`berkeley_gnm_sac_son` 0.1.0): a TurtleBot 2 among people, 10 Hz.

Cameras of 120x160. Numbers as in _gnm.py.
"""

from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._gnm import Gnm


@dataclass(frozen=True)
class BerkeleyGnmSacSon(Gnm):
    """Driving through offices."""

    name: ClassVar[str] = "openx/berkeley_gnm_sac_son"
    embodiment: ClassVar[str] = "turtlebot2_planar"
    control_hz: ClassVar[float] = 10.0
