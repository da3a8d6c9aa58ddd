"""Looks at held-out windows, for runs that are put together by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.window import WindowSpec
from pipelines.training.distributed import Distributed
from pipelines.training.frames import Buffers, Frames
from pipelines.training.loading import Loader
from pipelines.training.parts import BatchParts
from pipelines.training.settings import LoopConfig
from pipelines.training.validation import Validation, contact_sheet, held_out_sampler
from tests.support.readers import MadeReader


def make_validation(
    reader: MadeReader,
    episodes: Sequence[EpisodeInfo],
    spec: WindowSpec,
    collator: Any,
    config: LoopConfig,
    distributed: Distributed,
) -> Validation:
    """Look at the windows of some episodes of a reader, by a loader of its own."""
    frames = Frames(reader, ("primary",), collator.frames.side, cache_mb=10)
    shares = Counter(e.dataset for e in episodes)
    sampler = held_out_sampler(episodes, spec, config.micro_batch_size, shares)
    assert sampler is not None

    def evaluate(model, batch, random, counts):  # type: ignore[no-untyped-def]
        loss, figures = model.loss(batch, random, counts)
        return {**figures, "loss": loss}

    return Validation(
        loader=Loader(
            reader,
            spec,
            sampler,
            replace(collator, frames=frames, buffers=Buffers(0)),
            distributed.rank,
            distributed.world_size,
        ),
        num_batches=2,
        parts=BatchParts(config, distributed),
        evaluate=evaluate,
        figures_of=lambda model, means: model.figures(means) if hasattr(model, "figures") else means,
        draw=lambda model, batch: {"first": contact_sheet(_first_picture(batch)[None, None])},
    )


def _first_picture(batch: Any) -> Tensor:
    return batch.image[0] if hasattr(batch, "image") else batch.video[0, 0]
