"""Shards of a mixture, small enough to be written again and again."""

import numpy as np

from dataengine.windows.window import LatentInfo
from tests.support.readers import MadeReader, make_episode

SMALL = {"shard_mb": 0.03, "segment_steps": 20}


class TwoModels(MadeReader):
    """Labelled by two models."""

    def __init__(self, episodes: list) -> None:
        super().__init__(episodes)
        self.latents = ("lam", "wide")

    def latent_info(self, lam: str) -> LatentInfo:
        info = super().latent_info(lam)
        return LatentInfo(**(vars(info) | ({"d": 9, "fingerprint": "other"} if lam == "wide" else {})))

    def latent(self, row: int, lam: str) -> tuple:
        latent, codes = super().latent(row, "lam")
        return (latent if lam == "lam" else np.repeat(latent, 3, axis=2)[:, :, :9] + 1), codes


def mixed_reader() -> TwoModels:
    kitchen = {"kind": "human", "embodiment": "human_hand", "embodiment_id": 2, "dataset": "kitchen", "dataset_id": 2}
    attic = {"dataset": "attic", "dataset_id": 3}
    return TwoModels(
        [make_episode(i) for i in range(5)]
        + [make_episode(5 + i, **kitchen) for i in range(3)]
        + [make_episode(8 + i, **attic) for i in range(4)]
    )
