"""The writer of RLDS files, where scripts outside of the tests look for it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from tests.support.rlds_writer import *  # noqa: F403
