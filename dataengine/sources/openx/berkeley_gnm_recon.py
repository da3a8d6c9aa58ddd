"""RECON (`berkeley_gnm_recon` 0.1.0): a Jackal off the road, 3 Hz.

Cameras of 120x160. Numbers as in _gnm.py.
"""

from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx._gnm import Gnm


@dataclass(frozen=True)
class BerkeleyGnmRecon(Gnm):
    """Exploring open ground."""

    name: ClassVar[str] = "openx/berkeley_gnm_recon"
    embodiment: ClassVar[str] = "jackal_planar"
    control_hz: ClassVar[float] = 3.0
