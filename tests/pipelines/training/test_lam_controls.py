"""What a latent action model says when nothing moves, and when only the camera does."""

from types import SimpleNamespace

import numpy as np
import torch

from models.lam import Lam, Latents
from pipelines.training.lam.controls import SHIFT_PX, control, shift
from tests.support.lams import SMALL
from tests.support.shapes import lam_shape

SIDE = 32


class Judge:
    """Stands for a model of two slots: the first reads how much the picture brightened, the second its red corner."""

    config = SimpleNamespace(resolution=SIDE)

    def encode(self, video):
        change = (video[:, 1].float() - video[:, 0].float()).mean(dim=(1, 2, 3)).round().long()
        corner = (video[:, 0, 0, 0, 0] > 100).long()
        codes = torch.stack([change, corner], dim=1)[:, None]
        return Latents(codes.flatten(2).float(), codes[..., None].float(), codes)


def frames(*levels: int) -> torch.Tensor:
    return torch.stack([torch.full((3, SIDE, SIDE), level, dtype=torch.uint8) for level in levels])


def test_agreement_is_counted_by_slot_and_for_the_whole_tuple() -> None:
    controls = control(Judge(), "arm", frames(0, 10, 20, 200), frames(5, 10, 25, 205))
    assert controls.hold_slots == [1.0, 0.75], "no picture brightened; three of four corners are dark"
    assert controls.hold_tuple == 0.75
    assert controls.hold_still == 0.875
    assert controls.real_slots == 0.5, "one of four pairs stands still, three of four corners are dark"
    assert controls.real_tuple == 0.25


def test_uniform_pictures_do_not_change_when_they_are_shifted() -> None:
    controls = control(Judge(), "arm", frames(0, 10, 20, 200), frames(5, 10, 25, 205))
    assert (controls.shift_slots, controls.shift_tuple) == (controls.hold_still, controls.hold_tuple)
    assert controls.shift_size == controls.hold_size < 1.0


def test_pictures_are_shifted_by_the_models_pixels_each_another_way() -> None:
    random = np.random.default_rng(0)
    pictures = torch.from_numpy(random.integers(0, 255, (4, 3, 2 * SIDE, 2 * SIDE), dtype=np.uint8))
    moved, far = shift(pictures, SIDE), 2 * SHIFT_PX
    up, down, left, right = moved
    assert (up[:, :-far] == pictures[0, :, far:]).all()
    assert (down[:, far:] == pictures[1, :, :-far]).all()
    assert (left[..., :-far] == pictures[2, ..., far:]).all()
    assert (right[..., far:] == pictures[3, ..., :-far]).all()
    assert (down[:, :far] == pictures[1, :, :1]).all(), "the border is repeated"


def test_a_real_model_is_asked_at_its_own_size() -> None:
    torch.manual_seed(0)
    lam = Lam(lam_shape("tiny", **SMALL)).eval()
    controls = control(lam, "arm", frames(0, 60, 120), frames(1, 61, 121))
    assert controls.frames == 3
    assert len(controls.hold_slots) == lam.config.num_slots
