"""Parameters, work and memory of the actor at full size, without its numbers: the meta device against arithmetic."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.act import Act, ActConfig
from models.act.flops import forward_flops
from models.batch import ActBatch
from models.layers.stack import Stack, positions_from
from pipelines.training.act.config import TrainActConfig
from pipelines.training.blocks import checkpoint_blocks
from pipelines.training.memory import Need
from tests.support.shapes import act_shape
from tests.support.small_act import make_batch

VISION = (
    27 * (4 * 1152 * 1153 + 1152 * 4304 * 2 + 4304 + 1152 + 4 * 1152) + 1152 * (3 * 14 * 14 + 1) + 256 * 1152 + 2 * 1152
)
"""Blocks (attention, feed-forward, two norms), patches, positions, last norm."""
TEXT_BLOCK = 2048 * (2 * 2048 + 2 * 256) + 3 * 2048 * 16384 + 2 * 2048
LAST_BLOCK = 2048 * 2 * 256 + 2048
EMBEDDING = 257_216 * 2048
EXPERT = 18 * (1024 * (2 * 2048 + 2 * 256) + 3 * 1024 * 4096 + 2 * 1024) + 1024
ENCODER = 7 * 1024 + 1024 + 2 * 1024 * 1024 + 1024 + 1024 * 1024 + 1024


def meta(config: ActConfig, b: int = 2) -> tuple[Act, ActBatch]:
    """Make a model and a batch of its sizes that have no numbers."""
    with torch.device("meta"):
        act = Act(config).train()
    dim, side = max(config.action_dims), config.wrist.image_size if config.wrist else 1
    image = torch.zeros(b, 3, *[config.vlm.vision.image_size] * 2, dtype=torch.uint8)
    batch = replace(
        make_batch(b),
        image=image,
        wrist=torch.zeros(b, 3, side, side, dtype=torch.uint8),
        token_ids=torch.ones(b, config.vlm.text_length, dtype=torch.int64),
        token_mask=torch.ones(b, config.vlm.text_length, dtype=torch.bool),
        state=torch.zeros(b, dim),
        state_mask=torch.ones(b, dim, dtype=torch.bool),
        latent=torch.zeros(b, config.num_latents, config.codes_per_latent, config.latent_dim),
        latent_mask=torch.ones(b, config.num_latents, dtype=torch.bool),
        action=torch.zeros(b, config.horizon, dim),
        action_mask=torch.ones(b, config.horizon, dim, dtype=torch.bool),
    )
    return act, batch.to("meta")


def test_the_paper_has_the_parameters_of_its_parts() -> None:
    act, _ = meta(act_shape("paper", state_dims=(7, 7), action_dims=(7, 7), num_datasets=2))

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(act.vlm.vision) == VISION == 412_442_352
    assert count(act.vlm) == VISION + 1153 * 2048 + EMBEDDING + 17 * TEXT_BLOCK + LAST_BLOCK
    assert count(act.latent.stack) + 1024 == count(act.robot.stack) + 1024 == EXPERT
    assert count(act.robot.encoder) == 2 * ENCODER
    assert count(act) == 3_465_955_678


def test_training_the_paper_takes_four_numbers_for_each_weight_that_is_trained() -> None:
    act, _ = meta(act_shape("paper", state_dims=(7, 7), action_dims=(7, 7), num_datasets=2))
    need = Need.of(act, TrainActConfig(data="", out="runs/act", preset="paper", vlm="random"))
    trained = 3_465_955_678 - EMBEDDING
    assert need.gradients == 4 * trained
    assert need.moments == 8 * trained
    buffers = sum(b.nbytes for b in act.buffers())
    assert need.weights == 4 * 3_465_955_678 + buffers
    assert (need.weights + need.gradients + need.moments) / 1e9 == pytest.approx(49.1, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_work_counted_by_hand_is_what_torch_counts(preset: str) -> None:
    act, batch = meta(act_shape(preset, state_dims=(7, 7), action_dims=(7, 7), num_datasets=2))
    with FlopCounterMode(display=False) as counted:
        loss, _ = act.loss(batch)
    assert counted.get_total_flops() == len(batch.state) * forward_flops(act.config)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    # scores of attention are computed again, pixels have no gradient
    assert backward.get_total_flops() / counted.get_total_flops() == pytest.approx(2.0, rel=0.05)


def test_one_row_of_the_paper_takes_1300_gflop_of_which_the_language_model_has_most() -> None:
    config = act_shape("paper", state_dims=(7,), action_dims=(7,))
    assert forward_flops(config) / 1e9 == pytest.approx(1300.7, abs=0.1)
    text = 17 * (2 * 276 * (TEXT_BLOCK - 2 * 2048) + 4 * 276 * 276 * 2048)
    assert text / forward_flops(config) == pytest.approx(0.80, abs=0.01)


def kept_bytes(num_layers: int, recompute: bool) -> int:
    """Count what the paper's language model keeps of a row for the backward pass, beside weights, in bfloat16."""
    config = act_shape("paper", state_dims=(7,), action_dims=(7,)).vlm.text
    with torch.device("meta"):
        stack = Stack(config.model_copy(update={"num_layers": num_layers})).bfloat16()
        x, mask = torch.zeros(1, 276, 2048, dtype=torch.bfloat16), torch.ones(1, 276, 276, dtype=torch.bool)
    if recompute:
        checkpoint_blocks(stack)
    storages: dict[int, torch.Tensor] = {}

    def pack(saved: torch.Tensor) -> torch.Tensor:
        storages[saved.untyped_storage()._cdata] = saved
        return saved

    weights = {p.untyped_storage()._cdata for p in stack.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        stack(x.requires_grad_(), positions_from(1, 276, x.device), [], mask)
    return sum(saved.untyped_storage().nbytes() for key, saved in storages.items() if key not in weights)


def test_a_block_that_is_recomputed_keeps_nothing_but_its_input() -> None:
    assert kept_bytes(3, recompute=True) - kept_bytes(2, recompute=True) == 276 * 2048 * 2
