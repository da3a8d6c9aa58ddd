"""What is played on the same starts: the policy, the baselines beside it, the policy with other pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from dataengine.whole_file import write_whole
from pipelines.evaluation.libero.config import BASELINES, PICTURES, LiberoConfig, num_tasks
from pipelines.evaluation.libero_rules import CONTROL_HZ, LIBERO
from pipelines.evaluation.remote import server_fingerprint

EVAL_SEEDS_FROM = 1_000_000
"""Starts that are drawn for an evaluation have seeds from here on, those of recordings lie below."""


class Played(BaseModel):
    """One episode."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: int
    start: int
    success: bool = False
    solved_ever: bool = False
    """Whether it was solved at any step, where only the last one counts."""
    steps: int = 0
    looks: int = 0
    seconds: float = 0.0
    act_seconds: float = 0.0
    """Of them, waiting for actions."""
    lost: str = ""
    """What the simulator did in the episode, which then counts neither way; the same command plays it again."""
    filmstrip: str = ""


@dataclass(frozen=True)
class Arm:
    """One way to play: who decides, and what it is shown."""

    name: str
    policy: str
    """A baseline, or `served`."""
    pictures: str
    facts: Mapping[str, Any]
    """All that an episode depends on but its start."""
    config: LiberoConfig
    records: bool = False
    """Whether episodes are kept with all that was seen and done."""

    def file(self, task: int, start: int) -> Path:
        """Where an episode is kept."""
        return self.config.out / "episodes" / self.stem / f"{task:02d}-{start:03d}.json"

    def film(self, task: int, start: int) -> Path:
        """Where the filmstrip of an episode is kept."""
        return self.config.out / "filmstrips" / self.stem / f"{task:02d}-{start:03d}.jpg"

    def rollout(self, task: int, start: int) -> Path:
        """Where all that was seen and done in an episode is kept, if it is."""
        return self.config.out / "rollouts" / f"{self.stem}-{task:02d}-{start:03d}.npz"

    @property
    def stem(self) -> str:
        """Name the arm's files: another setting has others."""
        return f"{_file_name(self.name)}-{hex_digest(repr(sorted(self.facts.items())), 4)}"

    def read(self, task: int, start: int) -> Played | None:
        """Give an episode that came to its end; raise DataEngineError where its file is damaged."""
        file = self.file(task, start)
        try:
            played = Played.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise DataEngineError(
                f"{file}: is no episode that `villa eval` kept; remove it, and it is played again"
            ) from None
        return None if played.lost else played

    def is_missing(self, task: int, start: int) -> bool:
        """Tell whether an episode is still to be played: one that is to be recorded may have been played without."""
        unrecorded = self.records and not self.rollout(task, start).exists()
        return unrecorded or self.read(task, start) is None

    def keep(self, played: Played) -> None:
        """Keep an episode."""
        write_whole(self.file(played.task, played.start), played.model_dump_json())


def arms(config: LiberoConfig, versions: Mapping[str, str]) -> list[Arm]:
    """List who plays, the policy first."""
    name = config.name or (Path(config.policy).name if config.policy else "server")
    own = (name, config.policy if config.policy in BASELINES else "served", "seen")
    rest = [(f"{name}, {one}", "served", one) if one in PICTURES else (one, one, "seen") for one in config.beside]
    first, *others = (_arm(config, versions, *each) for each in (own, *rest))
    return [replace(first, records=config.records), *others]


def _arm(config: LiberoConfig, versions: Mapping[str, str], name: str, policy: str, pictures: str) -> Arm:
    keys = ("suite", "init_set", "settle_steps", "success", "image_size", "render_quality")
    facts: dict[str, Any] = {key: getattr(config, key) for key in keys}
    facts |= {"max_steps": config.step_limit, "policy": policy, "versions": sorted(versions.items())}
    if policy == "served":
        facts |= {key: getattr(config, key) for key in ("action_steps", "gripper", "acts_as", "embodiment", "server")}
        checkpoint = fingerprint(Path(config.policy)) if config.policy else server_fingerprint(config.server)
        facts |= {"pictures": pictures, "checkpoint": checkpoint}
    else:
        facts |= {"image_size": 0, "render_quality": ""}  # they see nothing
    return Arm(name, policy, pictures, facts, config)


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in name)


def job(arm: Arm, task: int, start: int, url: str) -> dict[str, Any]:
    """Write what a simulator is asked to play."""
    config = arm.config
    index = start if config.init_set == "official" else EVAL_SEEDS_FROM + start
    return {
        "task": task,
        "index": index,
        "init_set": config.init_set,
        "policy": arm.policy,
        "pictures": arm.pictures,
        "swap_with": (task + 1) % num_tasks(config.suite),
        "url": url,
        "embodiment": config.embodiment,
        "action_steps": config.action_steps,
        "gripper": config.gripper,
        "rollout": _rollout(arm, task, start) if arm.records else None,
        "film": str(arm.film(task, start).absolute()) if start < config.num_filmstrips else "",
        "protocol": {
            "max_steps": config.step_limit,
            "settle_steps": config.settle_steps,
            "success": config.success,
        },
    }


def _rollout(arm: Arm, task: int, start: int) -> dict[str, Any]:
    """Say where a simulator keeps all that was seen and done, and what it does not know of the episode."""
    config = arm.config
    facts = {
        "policy": arm.name,
        "simulator": LIBERO,
        "task": task_title(config.suite, task, config.init_set),
        "seed": start,
        "embodiment": config.embodiment,
        "control_hz": CONTROL_HZ,
    }
    return {"file": str(arm.rollout(task, start).absolute()), "facts": facts}


def task_title(suite: str, task: int, init_set: str) -> str:
    """Name a task where those of several simulators stand side by side: `libero_object/03`."""
    return f"{suite}/{task:02d}" + ("" if init_set == "official" else f", {init_set} starts")


def check_policy(config: LiberoConfig) -> None:
    """Raise DataEngineError where the policy is not there."""
    if config.policy and config.policy not in BASELINES and not Path(config.policy).is_dir():
        names = ", ".join(BASELINES)
        raise DataEngineError(f"{config.policy}: no such folder, expected a trained policy, or one of {names}")


def fingerprint(folder: Path) -> str:
    """Tell a policy from the same folder trained further."""
    files = sorted(file for file in (*folder.iterdir(), *folder.glob("checkpoints/**/*")) if file.is_file())
    return hex_digest("\n".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files))
