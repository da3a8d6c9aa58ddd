"""Lets the tests of sources write raw data with the same writers as the tests of formats."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))
