"""Cory Hall (`berkeley_gnm_cory_hall` 0.1.0): a small car in corridors, 5 Hz.

Cameras of 64x85. Numbers as in _gnm.py.
"""

from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._gnm import Gnm


@dataclass(frozen=True)
class BerkeleyGnmCoryHall(Gnm):
    """Driving along corridors."""

    name: ClassVar[str] = "openx/berkeley_gnm_cory_hall"
    embodiment: ClassVar[str] = "rc_car_planar"
    control_hz: ClassVar[float] = 5.0
