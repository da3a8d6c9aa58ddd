"""What was seen and done in an episode, kept until a dataset is written of all of them."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.vector_layout import VectorLayout
from dataengine.whole_file import whole_file
from pipelines.evaluation.contract import offered_by
from pipelines.evaluation.simulators._base import Simulator, simulator_class
from pipelines.evaluation.simulators._play import Played
from pipelines.evaluation.unit import Unit


@dataclass(frozen=True, kw_only=True)
class RolloutFiles:
    """Where an evaluation keeps the episodes of one policy."""

    out: Path
    """Folder of the evaluation."""
    policy: str
    """Folder or address of the policy, or a baseline."""
    simulator: type[Simulator]
    files: Sequence[Path]
    """In the order of tasks and starts; what was not played, or lost to the simulator, is not there."""


@dataclass(frozen=True, kw_only=True)
class RecordedRollout:
    """One episode of t control steps."""

    policy: str
    simulator: str
    task: str
    instruction: str
    seed: int
    success: bool
    state: NDArray[np.float32]
    """(t, s) canonical, before each action"""
    action: NDArray[np.float32]
    """(t, a) canonical, as it was executed"""
    image: NDArray[np.uint8]
    """(t, height, width, 3)"""
    wrist: NDArray[np.uint8] | None


def file_of(out: Path, stem: str, seed: int) -> Path:
    """Name the file of an episode."""
    return out / "rollouts" / f"{stem}-{seed}.npz"


def keep(path: Path, unit: Unit, played: Played) -> None:
    """Write one episode, whole or not at all."""
    observations = [observation for observation, _ in played.rows]
    arrays: dict[str, Any] = {
        "state": np.stack([one.state for one in observations]),
        "action": np.stack([action for _, action in played.rows]),
        "image": np.stack([one.image for one in observations]),
    }
    wrists = [one.wrist for one in observations if one.wrist is not None]
    arrays |= {"wrist": np.stack(wrists)} if len(wrists) == len(observations) else {}
    arrays |= {
        "seed": np.array(played.seed),
        "success": np.array(played.success),
        "policy": unit.name,
        "simulator": simulator_class(unit.simulator).name,
        "control_hz": np.array(simulator_class(unit.simulator).control_hz),
        "embodiment": simulator_class(unit.simulator).embodiment,
        "task": unit.task,
        "instruction": unit.instruction,
    }
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an episode, whose arrays are read as they are asked for; raise DataEngineError where it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            yield kept
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataEngineError(f"{path}: damaged ({type(error).__name__}); remove it, and it is played again") from None


def read(path: Path) -> RecordedRollout:
    """Read one episode."""
    with opened(path) as kept:
        texts = {key: str(kept[key]) for key in ("policy", "simulator", "task", "instruction")}
        return RecordedRollout(
            **texts,
            seed=int(kept["seed"]),
            success=bool(kept["success"]),
            state=kept["state"],
            action=kept["action"],
            image=kept["image"],
            wrist=kept["wrist"] if "wrist" in kept.files else None,
        )


def facts_of(kind: type[Simulator], rollout: RecordedRollout) -> dict[str, Any]:
    """Say what the numbers of a simulator's rollouts are, as a policy server's metadata would."""
    facts: dict[str, Any] = {
        "embodiment": kind.embodiment,
        "rate_hz": kind.control_hz,
        "action_horizon": 1,
        "has_outcomes": True,
    }
    usual = {"state": "eef_pose", "action": "eef_delta"}
    for column, offered in zip(("state", "action"), offered_by(kind), strict=True):
        dim = getattr(rollout, column).shape[1]
        layout = VectorLayout.of(offered.encoding if offered else usual[column], dim)
        facts |= {
            f"{column}_dim": dim,
            f"{column}_encoding": layout.encoding,
            f"{column}_names": list(layout.names) if all(layout.names) else [],
            f"{column}_units": list(layout.units),
            f"{column}_grippers": list(layout.grippers),
            f"{column}_moves": None,
        }
    return facts
