"""Two ranks, each of which was given a learning rate of its own."""

import torch

from pipelines.training.agreement import require_same
from pipelines.training.distributed import process_group
from pipelines.training.settings import LoopConfig


def main(*lrs: str) -> None:
    with process_group(torch.device("cpu")) as distributed:
        settings = LoopConfig(lr=float(lrs[distributed.rank])).same_on_all_ranks()
        require_same(distributed, {"data": "abc", **settings})
