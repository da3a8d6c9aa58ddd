"""Where LIBERO is, and what an episode of it is: what `villa eval libero`, `compare` and `calibrate` have in common."""

from typing import Literal

from pydantic import Field

from dataengine.config import MOST, Config

LIBERO = "libero"
"""What commands call this simulator, which lives in an environment of its own."""


CONTROL_HZ = 20.0


def simulators_and_libero() -> list[str]:
    """Name every simulator, that of the other environment too."""
    from pipelines.evaluation.simulators._base import simulator_names

    return [*simulator_names(), LIBERO]


class LiberoScene(Config):
    """Where LIBERO is installed, and how it draws."""

    render_quality: Literal["full", "fast"] = "full"
    """`fast` draws without shadows, reflections and smoothed edges: several times faster on a CPU."""
    python: str = ""
    """Python of the environment that `make sim-libero` makes; by default `.venv-libero/bin/python`, or what the
    environment variable `VILLA_LIBERO_PYTHON` says."""


class LiberoRules(LiberoScene):
    """What an episode is: every constant here changes a score."""

    init_set: Literal["official", "random", "wide"] = "official"
    """`official`: the benchmark's starts, hardly different from one another. `random`: fresh draws of the same layout.
    `wide`: objects lie anywhere on the floor, so that only who looks can find them (LIBERO-Object)."""
    action_steps: int = Field(5, ge=1, le=MOST)
    """Actions of a chunk that are executed before the policy looks again."""
    gripper: Literal["continuous", "binary"] = "continuous"
    """`continuous` hands over the gripper's command as the policy says it; `binary` makes -1 or +1 of it, +1 of 0."""
    settle_steps: int = Field(10, ge=0, le=MOST)
    """Control steps in which objects come to rest, before the first look and on top of `max_steps`."""
    max_steps: int = Field(0, ge=0, le=MOST)
    """Control steps of an episode; 0 for the suite's own: 220, 280, 300, 520, 400."""
    success: Literal["any", "end"] = "any"
    """Whether an episode counts that is solved at any step, which ends it, or at the last one."""
    image_size: int = Field(256, ge=16, le=1024)
    """Side of the cameras' pictures; 128 in LIBERO's own recordings, 256 in those that policies are trained on."""
    embodiment: str = "franka"
    """What LIBERO's robot is called in the policy's corpus."""
