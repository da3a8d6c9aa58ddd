"""U-Tokyo PR2, tables (`utokyo_pr2_tabletop_manipulation_converted_externally_to_rlds` 0.1.0): a PR2, 10 Hz.

The same schema, units and doubts as `openx/utokyo_pr2_opening_fridge_converted_externally_to_rlds`, by the same people.
"""

from dataclasses import dataclass
from typing import ClassVar

from dataengine.sources.openx.utokyo_pr2_opening_fridge_converted_externally_to_rlds import (
    UtokyoPr2OpeningFridgeConvertedExternallyToRlds,
)


@dataclass(frozen=True)
class UtokyoPr2TabletopManipulationConvertedExternallyToRlds(UtokyoPr2OpeningFridgeConvertedExternallyToRlds):
    """Picking and placing, folding cloth, one camera."""

    name: ClassVar[str] = "openx/utokyo_pr2_tabletop_manipulation_converted_externally_to_rlds"
