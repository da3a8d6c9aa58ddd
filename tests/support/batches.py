"""Batches of made episodes, of robots and of humans."""

from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec
from pipelines.training.batches import ActBatches, LamBatches
from pipelines.training.frames import Buffers, Frames
from pipelines.training.tokenizer import Tokenizer
from tests.support.readers import D, K, MadeReader, make_episode, statistics

CHUNKS = WindowSpec(interval_s=0.3, horizon=6, optional_slots=("wrist",), latent="lam", num_latents=2)


def mixed_reader() -> MadeReader:
    return MadeReader(
        [
            make_episode(0),
            make_episode(1, control_hz=20.0, embodiment="arm6", embodiment_id=2, dataset_id=2),
            make_episode(2, kind="human", embodiment="human_hand", embodiment_id=3, dataset_id=3),
            make_episode(3, num_steps=5, cameras=("primary", "wrist")),
        ]
    )


def lam_batches(reader: MadeReader, side: int = 32, **frames: float) -> LamBatches:
    return LamBatches(
        frames=Frames(reader, ("primary",), side, **frames),
        buffers=Buffers(2),
        normalizer=Normalizer(statistics(reader)),
        state_dim=14,
        action_dim=14,
    )


def act_batches(reader: MadeReader, **changes: object) -> ActBatches:
    plain: dict = {
        "frames": Frames(reader, ("primary", "wrist"), 32, cache_mb=10),
        "buffers": Buffers(2),
        "normalizer": Normalizer(statistics(reader)),
        "tokenizer": Tokenizer.train(["close the jar"], 300),
        "text_length": 8,
        "state_dim": 14,
        "action_dim": 14,
        "horizon": 6,
        "latent_shape": (2, K, D),
        "use_wrist": True,
        "padded_actions": "repeat",
    }
    return ActBatches(**(plain | changes))
