"""Frames at the size that a model trains at: scaled once, as the loader would in every window, and stored as JPEG.

The pixels are those of the loader but for one more pass of JPEG, which is finer than that of frames at rest (all
colours, a higher quality): at 224 it moves a value by 1.5 levels of 255, less than the first pass did.
"""

from typing import Final

import numpy as np
import simplejpeg

from dataengine.formats.resize import resize
from dataengine.windows.window import Jpeg

QUALITY: Final = 95
SUBSAMPLING: Final = "444"


def scaled(data: Jpeg, side: int) -> Jpeg:
    """Bring a frame larger than `side` to (side, side); others, and those that do not decode, keep their bytes."""
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        if max(height, width) <= side:
            return data
        picture = resize(simplejpeg.decode_jpeg(data, colorspace="RGB"), side, side)
    except ValueError:  # whoever loads it leaves out the windows that show it, as from the corpus
        return data
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), QUALITY, "RGB", SUBSAMPLING)
