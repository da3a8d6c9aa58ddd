"""A contact sheet of rollouts: a row per predictor, a column per step, the true frames on top."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.training.world.scores import LEVEL_0, LEVEL_1, RolloutStrip

SHOWN = ("true", LEVEL_0, LEVEL_1)
LEAST_SIDE = 96
"""Smaller pictures are enlarged without smoothing, so that their faults stay in sight."""
MARGIN = 84
GAP = 6


def save_sheet(strips: Sequence[RolloutStrip], path: Path) -> bool:
    """Draw rollouts one below another; False if there is nothing to draw."""
    if not strips:
        return False
    blocks = [_block(strip) for strip in strips]
    width = max(b.shape[1] for b in blocks)
    padded = [np.pad(b, ((0, GAP), (0, width - b.shape[1]), (0, 0)), constant_values=255) for b in blocks]
    Image.fromarray(np.concatenate(padded)).save(path)
    return True


def _block(strip: RolloutStrip) -> NDArray[np.uint8]:
    """Draw one rollout: the predictors' names and the embodiment at the left, then the frames."""
    rows = {name: strip.rows[name] for name in SHOWN if name in strip.rows}
    n, side = strip.rows["true"].shape[:2]
    times = -(-LEAST_SIDE // side)
    pictures = [np.concatenate(list(frames), axis=1) for frames in rows.values()]
    large = np.concatenate(pictures).repeat(times, axis=0).repeat(times, axis=1)
    sheet = Image.new("RGB", (MARGIN + n * side * times, len(rows) * side * times), "white")
    sheet.paste(Image.fromarray(large), (MARGIN, 0))
    pen = ImageDraw.Draw(sheet)
    for i, name in enumerate(rows):
        pen.text((4, i * side * times + 4), name, fill="black")
    pen.text((4, 20), strip.embodiment[:13], fill="gray")
    return np.asarray(sheet)
