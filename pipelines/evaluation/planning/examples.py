"""Rows of pictures beside what they show: a recording, and what plans in its place lead to."""

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.evaluation.plan import stack

TIMES = 2
"""Enlarged without smoothing, so that faults of the decoder stay in sight."""
MARGIN_PX, LINE_PX, LETTERS = 176, 13, 26
"""Width of the labels, and of a line of them the height and the letters that fit in."""


def sheet(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]) -> Image.Image:
    """Lay rows of square pictures of one size below one another, each with its label at the left."""
    pictures = stack([row for _, row in rows]).repeat(TIMES, axis=0).repeat(TIMES, axis=1)
    drawn = Image.new("RGB", (MARGIN_PX + pictures.shape[1], pictures.shape[0]), "white")
    drawn.paste(Image.fromarray(pictures), (MARGIN_PX, 0))
    pen, step = ImageDraw.Draw(drawn), pictures.shape[0] / len(rows)
    for r, (label, _) in enumerate(rows):
        for at, line in enumerate(textwrap.wrap(label, LETTERS)):
            pen.text((4, r * step + 4 + at * LINE_PX), line, fill="black")
    return drawn
