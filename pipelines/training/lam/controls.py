"""What does a latent action model say when nobody acts? The same frame twice, and a camera that jumps.

Shape letters: n frames, k codes in one latent action, d their width.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from dataengine.report import Report
from models.lam import Lam

SHIFT_PX = 3
"""How far the whole picture moves, in pixels of the model's resolution."""
FRAMES_AT_ONCE = 64


class Controls(Report):
    """Answers of one model to frames of one embodiment in which nothing acted."""

    embodiment: str
    frames: int
    hold_slots: list[float]
    """Share of the frames that, seen twice, get the code that is the commonest in this slot when nothing moves."""
    hold_tuple: float
    """Share that get the commonest tuple of codes."""
    real_slots: float
    """Share of slots of real pairs that carry their hold-still code: what agreement is by chance."""
    real_tuple: float
    """Share of real pairs that carry the hold-still tuple: a model that says it of everything is of no use."""
    shift_px: int
    shift_slots: float
    """Share of slots that keep their hold-still code when the whole picture is shifted."""
    shift_tuple: float
    """Share of shifted frames that carry the hold-still tuple."""
    hold_size: float
    """Distance of frames seen twice from the middle of their latent actions, over that of real pairs."""
    shift_size: float
    """Distance of shifted frames from there, over that of real pairs: 1 if a shift says as much as an arm's motion."""

    @property
    def hold_still(self) -> float:
        """Agreement of frames seen twice, averaged over slots."""
        return sum(self.hold_slots) / len(self.hold_slots)


class _Said(NamedTuple):
    latent: Float[Tensor, "n kd"]
    codes: Int[Tensor, "n k"]


def control(lam: Lam, embodiment: str, before: UInt8[Tensor, "n c h w"], after: UInt8[Tensor, "n c h w"]) -> Controls:
    """Compare real pairs, each first frame twice, and each first frame shifted by `SHIFT_PX` up, down, left or right.

    Pictures may be of any size; they lie where the model lies.
    """
    still, real = _ask(lam, before, before), _ask(lam, before, after)
    shifted = _ask(lam, before, shift(before, lam.config.resolution))
    modal_slot = still.codes.mode(dim=0).values  # (k,)
    tuples, counts = still.codes.unique(dim=0, return_counts=True)
    modal_tuple = tuples[counts.argmax()]
    middle = still.latent.mean(dim=0)

    def slots(said: _Said) -> Float[Tensor, "k"]:
        return _share(said.codes == modal_slot)

    def whole(said: _Said) -> float:
        return float(_share((said.codes == modal_tuple).all(dim=1)))

    def size(said: _Said) -> float:
        return float((said.latent - middle).norm(dim=1).mean())

    moved = max(size(real), 1e-9)
    return Controls(
        embodiment=embodiment,
        frames=len(before),
        hold_slots=[round(x, 4) for x in slots(still).tolist()],
        hold_tuple=round(whole(still), 4),
        real_slots=round(float(slots(real).mean()), 4),
        real_tuple=round(whole(real), 4),
        shift_px=SHIFT_PX,
        shift_slots=round(float(slots(shifted).mean()), 4),
        shift_tuple=round(whole(shifted), 4),
        hold_size=round(size(still) / moved, 4),
        shift_size=round(size(shifted) / moved, 4),
    )


def shift(frames: UInt8[Tensor, "n c h w"], resolution: int) -> UInt8[Tensor, "n c h w"]:
    """Move pictures by `SHIFT_PX` of the model's pixels: one up, the next down, left, right; borders are repeated."""
    far_y, far_x = (max(round(SHIFT_PX * side / resolution), 1) for side in frames.shape[-2:])
    out = torch.empty_like(frames)
    for turn, (y, x) in enumerate(((-far_y, 0), (far_y, 0), (0, -far_x), (0, far_x))):
        rows, columns = (
            (torch.arange(side, device=frames.device) - way).clamp(0, side - 1)
            for side, way in zip(frames.shape[-2:], (y, x), strict=True)
        )
        out[turn::4] = frames[turn::4][..., rows[:, None], columns]
    return out


def _ask(lam: Lam, before: UInt8[Tensor, "n c h w"], after: UInt8[Tensor, "n c h w"]) -> _Said:
    encoded = [
        lam.encode(torch.stack(pair, dim=1))
        for pair in zip(before.split(FRAMES_AT_ONCE), after.split(FRAMES_AT_ONCE), strict=True)
    ]
    return _Said(
        torch.cat([one.quantized[:, 0].flatten(1) for one in encoded]), torch.cat([one.codes[:, 0] for one in encoded])
    )


def _share(hits: Bool[Tensor, "n *k"]) -> Float[Tensor, "*k"]:
    return hits.float().mean(dim=0)
