"""A scene of LIBERO in the simulator's environment, played step by step from here."""

import base64
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Event
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from pipelines.evaluation.clients.libero import actors
from pipelines.evaluation.libero.crew import Simulator as Process
from pipelines.evaluation.libero.record import SILENCE_S, SUITE
from pipelines.evaluation.libero_rules import CONTROL_HZ, LIBERO
from pipelines.evaluation.simulators._base import Observation

SIDE, QUALITY = 128, "fast"


class RemoteScene:
    """One task of LIBERO-Object; does what a simulator of ours does."""

    name: ClassVar[str] = LIBERO
    source: ClassVar[str] = "openx/libero"
    embodiment: ClassVar[str] = "franka"
    control_hz: ClassVar[float] = CONTROL_HZ
    tasks: ClassVar[Mapping[str, str]] = MappingProxyType({})
    max_steps: ClassVar[int] = 220
    expert_noise: ClassVar[float] = 0.0
    raw_action_dim: ClassVar[int] = 7
    looks_at: Collection[int] | None = None
    """Control steps after which the cameras draw; None for each of them."""

    def __init__(
        self,
        python: Path,
        task: int | str,
        *,
        suite: str = SUITE,
        side: int = SIDE,
        quality: str = QUALITY,
        settle_steps: int = 10,
        reset: bool = True,
        init_set: str = "official",
        silence_s: float = SILENCE_S,
        **bent: float,
    ) -> None:
        """`task` is its number or its name; `bent` changes the scene, for those who ask what is noticed."""
        self._settle_steps, self._reset, self._init_set = settle_steps, reset, init_set
        self._silence_s = silence_s
        self._process = Process(python, "scene", suite=suite, task=task, side=side, quality=quality, **bent)
        self._hear("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.end()

    def reset(self, seed: int) -> None:
        """Begin at the start of this number, or of this seed where starts are drawn."""
        self._steps = 0
        self._ask("begin", init_set=self._init_set, index=seed, settle=self._settle_steps, reset=self._reset)

    def step(self, raw_action: NDArray[np.float32]) -> bool:
        """Act for one control step."""
        self._steps += 1
        look = self.looks_at is None or self._steps in self.looks_at
        return bool(self._ask("step", action=np.asarray(raw_action, float).tolist(), look=look)["solved"])

    def observe(self) -> Observation:
        """Look."""
        seen = self._ask("observe")
        pictures = {
            name: np.frombuffer(base64.b64decode(seen[name]), np.uint8).reshape(seen["side"], seen["side"], 3)
            for name in ("image", "wrist")
        }
        return Observation(
            image=pictures["image"],
            wrist=pictures["wrist"],
            raw_state=np.array(seen["raw_state"], np.float32),
            state=np.array(seen["state"], np.float32),
            embodiment=self.embodiment,
            control_hz=self.control_hz,
        )

    def expert(self) -> NDArray[np.float32]:
        """Give the next raw action (7,) of the scripted expert."""
        return np.array(self._ask("expert")["action"], np.float32)

    def to_raw(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn a canonical action (7,) into LIBERO's."""
        return actors.raw_action(np.asarray(action, np.float64)[None])[0].astype(np.float32)

    def to_canonical(self, raw_action: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn LIBERO's action (7,) into a canonical one."""
        return actors.canonical_action(np.asarray(raw_action, np.float64)[None])[0]

    def _ask(self, what: str, **facts: Any) -> dict[str, Any]:
        self._process.ask({"do": what, **facts})
        return self._hear("ended")

    def _hear(self, event: str) -> dict[str, Any]:
        answer = self._process.hear(self._silence_s, Event())
        if answer["event"] != event:
            self._process.end()
            raise DataEngineError(f"LIBERO: {answer.get('why', 'answered out of turn')}")
        return answer


def scene_class(embodiment: str) -> type[RemoteScene]:
    """Give LIBERO with its robot called as in the policy's corpus."""
    return type("NamedScene", (RemoteScene,), {"embodiment": embodiment})
