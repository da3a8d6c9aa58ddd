"""Two ranks, one of which meets a loss that is no number in step 6; each leaves its weights."""

from pathlib import Path

import torch

from pipelines.training.distributed import process_group
from tests.support.toy import Toy, make_run


def main(out: str, sharding: str) -> None:
    with process_group(torch.device("cpu")) as distributed:
        torch.manual_seed(0)
        model = Toy()
        plain, now = model.loss, [0]
        model.at_step = lambda step: now.__setitem__(0, step + 1)

        def loss(batch, random, counts):  # type: ignore[no-untyped-def]
            right, figures = plain(batch, random, counts)
            return right * (float("nan") if now[0] == 6 and distributed.rank == 1 else 1), figures

        model.loss = loss  # type: ignore[method-assign]
        run = make_run(Path(out), model, distributed, on_bad_step="skip", sharding=sharding)
        run.train()
        state = {n: getattr(v, "full_tensor", lambda v=v: v)() for n, v in run.model.state_dict().items()}
        torch.save(state, Path(out) / f"{distributed.rank}.pt")
