"""Work counted by hand against what torch counts, without any numbers: on the meta device."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.batch import LamBatch
from models.lam import Lam
from models.lam.flops import forward_flops as lam_flops
from models.world import World
from models.world.flops import forward_flops as world_flops
from tests.support.shapes import lam_shape, world_shape

CLIPS = 2


@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_a_latent_action_models_work_is_what_torch_counts(preset: str) -> None:
    c = lam_shape(preset, state_dim=7, action_dim=7)
    h, t = c.max_horizon, c.num_frames - 1
    with torch.device("meta"):
        lam = Lam(c)
        batch = LamBatch(
            video=torch.zeros(CLIPS, t + 1, 3, c.resolution, c.resolution, dtype=torch.uint8),
            frame_mask=torch.ones(CLIPS, t + 1, dtype=torch.bool),
            state=torch.zeros(CLIPS, t, 7),
            future_state=torch.zeros(CLIPS, t, h, 7),
            action=torch.zeros(CLIPS, t, h, 7),
            state_mask=torch.ones(CLIPS, t, h, 7, dtype=torch.bool),
            action_mask=torch.ones(CLIPS, t, h, 7, dtype=torch.bool),
            dataset_id=torch.ones(CLIPS, dtype=torch.int64),
            control_hz=torch.ones(CLIPS),
        )
        with FlopCounterMode(display=False) as counted:
            lam.loss(batch)
    assert counted.get_total_flops() == pytest.approx(CLIPS * lam_flops(c), rel=0.01)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_world_models_work_is_what_torch_counts(preset: str, steps: int) -> None:
    c = world_shape(preset)
    with torch.device("meta"):
        world = World(c)
        history = torch.zeros(CLIPS, c.context, 3, c.resolution, c.resolution)
        latents = torch.zeros(CLIPS, steps, c.num_slots, c.latent_dim)
        with FlopCounterMode(display=False) as counted:
            world.roll_out(history, latents)
    assert counted.get_total_flops() == CLIPS * world_flops(c, steps)
