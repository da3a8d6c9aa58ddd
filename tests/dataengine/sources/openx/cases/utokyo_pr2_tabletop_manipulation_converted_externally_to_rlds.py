"""The schema of `utokyo_pr2_opening_fridge`."""

from tests.dataengine.sources.openx.cases.utokyo_pr2_opening_fridge_converted_externally_to_rlds import case

__all__ = ["case"]
