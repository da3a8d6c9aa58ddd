"""Pictures of recorded episodes, decoded as they lie in the data."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dataengine.formats import jpeg
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.window import EpisodeReader


def decoded(reader: EpisodeReader, episode: EpisodeInfo, slot: str, steps: Iterable[int]) -> list[NDArray[np.uint8]]:
    """Read what a camera saw at some steps, each (height, width, 3); raise `jpeg.DAMAGE` for a broken picture."""
    return [jpeg.decode(bytes(one)) for one in reader.jpegs(slot, [(episode.row, int(step)) for step in steps])]
