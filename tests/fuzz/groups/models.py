"""Models and checkpoints."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.fuzz.group import Group
from tests.support.shapes import act_shape, lam_shape, world_shape


def _model(kind: str) -> Callable[[Path], Any]:
    def build(root: Path) -> None:
        from models.act import Act
        from models.lam import Lam
        from models.weights import save_model, save_released_lam
        from models.world import World
        from tests.support.readers import MadeReader, make_episode, statistics

        root.mkdir(parents=True)
        small = {"encoder_width": 32, "decoder_width": 32, "encoder_depth": 1, "decoder_depth": 1}
        if kind == "lam":
            save_model(Lam(lam_shape("tiny", **small)), root)
        elif kind == "released":
            theirs = {"pooling": "released", "normalize_latents": False, "conditioning": "token"}
            save_released_lam(Lam(lam_shape("tiny", **small, **theirs, residual_output=False)), root)
        elif kind == "world":
            save_model(World(world_shape("tiny", width=32, depth=1)), root)
        else:
            from pipelines.training.tokenizer import Tokenizer

            stated = statistics(MadeReader([make_episode(0)]))
            body = {"embodiment_id": 1, "dataset_id": 1, "control_hz": 10.0, "steps_per_latent": 3}
            about = {"bodies": {"arm7_jaw": body}, "statistics": {k: v.to_json() for k, v in stated.items()}}
            save_model(Act(act_shape("tiny", state_dims=(7, 7), action_dims=(7, 7), num_datasets=2)), root, about)
            (root / "tokenizer.json").write_text(Tokenizer.train(["close the jar", "open it"], 300).text)

    return build


def _load(kind: str) -> Callable[[Path], Any]:
    def read(root: Path) -> None:
        import torch

        from models import weights
        from models.fingerprint import fingerprint
        from pipelines.evaluation.policy import ActPolicy

        torch.set_num_threads(1)
        if kind == "act":
            policy = ActPolicy.load(root)
            picture = np.zeros((48, 64, 3), np.uint8)
            seen = SimpleNamespace(embodiment="arm7_jaw", image=picture, wrist=None, state=np.zeros(7, np.float32))
            policy.act(seen, "close the jar")
        elif kind == "world":
            weights.load_world(root)
        else:
            weights.load_lam(root)
        fingerprint(root)

    return read


def build_checkpoints(root: Path) -> None:
    from tests.support.toy import make_run

    make_run(root / "run", steps=8, keep=2).train()


def read_checkpoints(root: Path) -> None:
    import torch

    from tests.support.toy import make_run

    torch.set_num_threads(1)
    make_run(root / "run", steps=8, keep=2).train()


def build_published(root: Path) -> None:
    from tests.support import tiny_vlm

    root.mkdir(parents=True)
    tiny_vlm.write(root, "paligemma2", shard="60KB", dtype="bfloat16")
    (root / "generation_config.json").unlink()


def read_published(root: Path) -> None:
    from models.vlm import pretrained
    from models.vlm.config import VlmConfig
    from models.vlm.vlm import Vlm
    from pipelines.training.tokenizer import Tokenizer

    published = pretrained.read(root)
    config = VlmConfig(**published.settings)
    pretrained.check(published, config)
    pretrained.load(Vlm(config), published)
    Tokenizer.read(root / "tokenizer.json", config.prompt).encode(["open the drawer"], 6)


def build_reference(root: Path) -> None:
    from tests.support import reference_folder

    reference_folder.write(root, reference_folder.LAYOUT)


def read_reference(root: Path) -> None:
    import torch

    from models.act.reference.compare import errors

    torch.set_num_threads(1)
    errors(root)


GROUPS = {
    "lam": Group(build=_model("lam"), read=_load("lam")),
    "released": Group(build=_model("released"), read=_load("released")),
    "world": Group(build=_model("world"), read=_load("world")),
    "act": Group(build=_model("act"), read=_load("act")),
    "published": Group(build=build_published, read=read_published),
    "reference": Group(build=build_reference, read=read_reference),
    "checkpoints": Group(build=build_checkpoints, read=read_checkpoints, prey=("*.safetensors", "*.json")),
}
