"""The actor's blocks can be sharded one by one: nothing reads a block's weights outside its forward pass."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from models.act import Act
from models.batch import ActBatch
from models.layers.stack import GemmaBlock
from models.vlm.vision import VisionBlock
from tests.support.small_act import make_act, make_batch


class Loss(nn.Module):
    """What sharding wraps: the loss as a forward pass."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act

    def forward(self, batch: ActBatch) -> Tensor:
        return self.act.loss(batch, torch.Generator().manual_seed(1))[0]


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")
def test_a_loss_with_sharded_blocks_and_its_gradients_are_those_of_a_whole_model(mesh: DeviceMesh) -> None:
    batch = replace(make_batch(), embodiment_id=torch.tensor([1, 2, 1, 2]))
    whole, sharded = Loss(make_act()), Loss(make_act())
    for module in sharded.modules():
        if isinstance(module, GemmaBlock | VisionBlock):
            fully_shard(module, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    losses = [model(batch) for model in (whole, sharded)]
    for loss in losses:
        loss.backward()
    assert torch.equal(losses[0], losses[1])
    for (name, p), q in zip(whole.named_parameters(), sharded.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad.full_tensor()), name
