"""Is it the action, or the camera? Frames seen twice, frames shifted, and what the model takes that for."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataengine.report import Report
from pipelines.analysis.groups import PairGroup
from pipelines.analysis.lam_report.measures import Floats, distances, mean_over, nearest
from pipelines.training.lam.controls import Controls, control, shift

if TYPE_CHECKING:
    from torch import Tensor

    from models.lam import Lam

TOGETHER = 32
ROWS = 3
"""Shifted frames shown of each group."""


class ControlReading(Report):
    """Answers of a model where nothing acted, and what they look like among those where something did."""

    said: Controls
    shift_ratio: float
    """Error of the shifted frame as its latent action predicts it, over copying; below 1 it holds the shift."""
    hold_way: float | None = None
    """Way of the hand in the real pair nearest to a frame seen twice, over the mean way; None without hands."""
    shift_way: float | None = None
    """The same for a shifted frame: 1 if a shift is read as motion of common size."""
    real_way: float | None = None
    """The same for real pairs."""


def look(
    lam: "Lam",
    group: PairGroup,
    which: NDArray[np.int64],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    sheet: Path,
) -> ControlReading:
    """Try the controls on some pairs, pictures (n, side, side, 3), and draw a few shifted frames."""
    import torch

    now, then = (torch.from_numpy(x).permute(0, 3, 1, 2).to(lam.mean.device) for x in (before, after))
    moved = shift(now, lam.config.resolution)
    said = {
        name: torch.cat([lam.encode(torch.stack(pair, dim=1)).quantized[:, 0] for pair in _parts(now, other)])
        for name, other in (("hold", now), ("shift", moved), ("real", then))
    }
    predicted = torch.cat([lam.render(frame, latent) for frame, latent in _parts(now, said["shift"])])

    def error(picture: "Tensor") -> float:
        return float(((picture.float() - moved.float()) / 255).square().mean())

    some = np.linspace(0, len(now) - 1, ROWS).round().astype(np.int64)
    shown = [x[some].permute(0, 2, 3, 1).cpu().numpy() for x in (now, moved, predicted)]
    Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in zip(*shown, strict=True)])).save(sheet)
    ways = _ways(group, which, {name: latent.flatten(1).cpu().numpy() for name, latent in said.items()})
    return ControlReading(
        said=control(lam, group.title, now, then),
        shift_ratio=round(error(predicted) / max(error(now), 1e-12), 4),
        hold_way=ways.get("hold"),
        shift_way=ways.get("shift"),
        real_way=ways.get("real"),
    )


def _parts(one: "Tensor", other: "Tensor") -> "zip[tuple[Tensor, Tensor]]":
    return zip(one.split(TOGETHER), other.split(TOGETHER), strict=True)


def _ways(group: PairGroup, which: NDArray[np.int64], said: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Read latent actions as the way of the hand in the nearest real pair of another episode, in mean ways."""
    if group.motion is None:
        return {}
    way: Floats = np.linalg.norm(group.motion[which].astype(np.float64), axis=1)
    episode = group.picks.episode[which]
    allowed = episode[:, None] != episode[None]
    if not allowed.any() or not way.any():
        return {}
    ratios = {}
    for name, latent in said.items():
        marked = nearest(distances(latent, said["real"], "euclid"), allowed)
        read = mean_over(np.broadcast_to(way, marked.shape), marked)
        assert read is not None
        ratios[name] = round(read / float(way.mean()), 4)
    return ratios
