"""What the result of a clip follows from: a clip that was executed before counts for as long as it is the same."""

import json
from collections.abc import Sequence

from dataengine.digest import hasher
from models.fingerprint import fingerprint
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, Simulator
from pipelines.evaluation.transfer.clips import Clip
from pipelines.evaluation.transfer.config import TransferConfig
from pipelines.evaluation.transfer.target import Target


def first_seed(config: TransferConfig) -> int:
    """Give the start of the first clip; each other one has the next."""
    return EVAL_SEEDS_FROM + config.seed_offset


def digests_of(config: TransferConfig, simulator: type[Simulator], target: Target, clips: Sequence[Clip]) -> list[str]:
    """Hash for each clip the model, the robot, the start, the clip itself, and what it is shuffled with."""
    facts = {
        "lam": fingerprint(config.lam),
        "simulator": config.simulator or simulator.name,
        "embodiment": target.embodiment,
        "dataset": [target.dataset, target.dataset_id],
        "steps": target.steps,
        "task": config.task,
        "shuffles": config.shuffles,
    }
    every = hasher(b"".join(clip.latent.tobytes() for clip in clips)).hexdigest()
    return [_digest({**facts, "seed": first_seed(config) + i}, clip, every) for i, clip in enumerate(clips)]


def _digest(facts: dict[str, object], clip: Clip, every: str) -> str:
    about = {**facts, "name": clip.name, "instruction": clip.instruction}
    about |= {} if clip.motion is None else {"every": every}  # runs with latent actions of any clip stand beside it
    digest = hasher(json.dumps(about, sort_keys=True))
    for array in (clip.latent, *clip.frames, *(() if clip.motion is None else (clip.motion,))):
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
