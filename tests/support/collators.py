"""Batches of made episodes, of robots and of humans; and what training makes of any reader's windows."""

from collections.abc import Sequence
from dataclasses import fields

import torch

from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import EpisodeReader, WindowSpec, cut_window
from pipelines.training.collators import ActCollator, LamCollator
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


def lam_collator(reader: MadeReader, side: int = 32, **frames: float) -> LamCollator:
    return LamCollator(
        frames=Frames(reader, ("primary",), side, **frames),
        buffers=Buffers(2),
        normalizer=Normalizer(statistics(reader)),
        state_dim=14,
        action_dim=14,
    )


def act_collator(reader: MadeReader, **changes: object) -> ActCollator:
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
    return ActCollator(**(plain | changes))


def as_trained(reader: EpisodeReader, spec: WindowSpec, picks: Sequence[tuple[int, int]]) -> dict[str, torch.Tensor]:
    """All that training sees of windows, (row, start) each: the batches of both models, pictures decoded, by name."""
    windows = [cut_window(reader, spec, row, start) for row, start in picks]
    slots = (*spec.slots, *spec.optional_slots)
    shared: dict = {
        "frames": Frames(reader, slots, 32),
        "buffers": Buffers(2),
        "normalizer": Normalizer(reader.statistics()),
        "state_dim": 14,
        "action_dim": 14,
    }
    info = reader.latent_info(spec.latent) if spec.latent else None
    act = ActCollator(
        **shared,
        tokenizer=Tokenizer.train(["close the jar"], 300),
        text_length=8,
        horizon=spec.horizon,
        latent_shape=(spec.num_latents, info.k, info.d) if info else (0, 1, 1),
        use_wrist="wrist" in slots,
        padded_actions="repeat",
    ).collate(windows)
    lam = LamCollator(**shared).collate(windows)
    tensors = {
        f"{name}.{f.name}": getattr(batch, f.name)
        for name, batch in (("act", act), ("lam", lam))
        for f in fields(batch)
    }
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Compare all that two readers give, bit for bit."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.equal(tensor, theirs[name]), name
