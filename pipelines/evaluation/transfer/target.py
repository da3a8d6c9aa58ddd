"""The robot that acts: its simulator, and the proprio forward model that turns latent actions into what it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.windows.normalize import Normalizer
from dataengine.windows.stats import EmbodimentStatistics
from dataengine.windows.window import steps_per_latent
from pipelines.evaluation.simulators._base import Simulator, simulator_class, simulator_names
from pipelines.evaluation.transfer.config import TransferConfig

if TYPE_CHECKING:
    from models.lam import Lam

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A robot in the eyes of a latent action model."""

    lam: "Lam"
    normalizer: Normalizer
    embodiment: str
    dataset: str
    dataset_id: int
    """Row of the model's table of datasets; 0 for one that it does not know."""
    control_hz: float
    steps: int
    """Control steps K of a latent action."""

    def predict(self, state: Floats, latent: Floats) -> tuple[Floats, Floats]:
        """Give the states (K, s) that follow a state (s,) when a latent action (k, d) happens, and the actions (K, a).

        All are canonical, in house units.
        """
        import torch

        lam, name = self.lam, (self.embodiment, self.dataset)
        assert lam.proprio is not None, "checked when the target was made"
        device = lam.mean.device
        normal = self.normalizer.normalize(name[0], "state", state, name[1])
        with torch.no_grad():
            states, actions = lam.proprio(
                torch.from_numpy(normal)[None, None].to(device),
                torch.from_numpy(latent)[None, None].to(device),
                torch.tensor([self.dataset_id], device=device),
                torch.tensor([self.control_hz], device=device),
            )
        future = states[0, 0, : self.steps, : len(state)].float().cpu().numpy()
        action_dim = self.normalizer.dim(name[0], "action", name[1])
        action = actions[0, 0, : self.steps, :action_dim].float().cpu().numpy()
        return (
            self.normalizer.invert(name[0], "state", future, name[1]),
            self.normalizer.invert(name[0], "action", np.clip(action, -1, 1), name[1]),
        )


def find_simulator(config: TransferConfig) -> type[Simulator]:
    """Find the simulator of an embodiment; raise DataEngineError where there is none, or another was named."""
    if config.simulator:
        simulator = simulator_class(config.simulator)
        if simulator.embodiment != config.to:
            raise DataEngineError(
                f"--simulator {config.simulator} plays '{simulator.embodiment}', asked for --to {config.to}"
            )
        return simulator
    known = {name: simulator_class(name) for name in simulator_names()}
    for simulator in known.values():
        if simulator.embodiment == config.to:
            return simulator
    has = ", ".join(sorted(f"{one.embodiment} ({name})" for name, one in known.items()))
    raise DataEngineError(
        f"--to {config.to}: no simulator has this embodiment, only {has}; --simulator module:Class is one of your own"
    )


def make_target(config: TransferConfig, simulator: type[Simulator], lam: "Lam", stated: Mapping[str, Any]) -> Target:
    """Look up what a model knows of an embodiment; raise DataEngineError where it cannot act as it."""
    if lam.proprio is None:
        raise DataEngineError(
            f"{config.lam}: has no proprio forward model, which turns latent actions into actions (released models and "
            f"those of --no-proprio lack it); train one with `villa train lam`"
        )
    numbers = stated.get("statistics")
    known = {n: EmbodimentStatistics.from_json(one) for n, one in numbers.items()} if isinstance(numbers, dict) else {}
    known = {name: one for name, one in known.items() if one.state.dim and one.action.dim}
    if config.to not in known:
        raise DataEngineError(
            f"{config.lam}: was not trained on embodiment '{config.to}', only on {', '.join(sorted(known)) or 'none'}; "
            f"train it on recordings of that robot"
        )
    dataset = _dataset(config, simulator, known[config.to])
    steps = steps_per_latent(simulator.control_hz, lam.config.interval_s)
    if steps > lam.config.max_horizon:
        raise DataEngineError(
            f"{config.lam}: predicts {lam.config.max_horizon} control steps, a latent action of "
            f"{lam.config.interval_s:g} s takes {steps} at the {simulator.control_hz:g} Hz of {simulator.name}; train "
            f"it on this robot at its rate"
        )
    return Target(
        lam=lam,
        normalizer=Normalizer(known),
        embodiment=config.to,
        dataset=dataset,
        dataset_id=_dataset_id(stated, dataset) if lam.config.use_context else 0,
        control_hz=simulator.control_hz,
        steps=steps,
    )


def _dataset(config: TransferConfig, simulator: type[Simulator], one: EmbodimentStatistics) -> str:
    """Choose which of a robot's datasets it acts as in."""
    names = sorted(one.datasets)
    if config.acts_as:
        if config.acts_as not in names:
            raise DataEngineError(
                f"--acts-as {config.acts_as}: {config.lam} knows '{config.to}' from {', '.join(names)}; take one"
            )
        return config.acts_as
    if simulator.source in names:
        return simulator.source
    return max(names, key=lambda name: one.by_dataset[name].num_episodes if name in one.by_dataset else 0, default="")


def _dataset_id(stated: Mapping[str, Any], dataset: str) -> int:
    """Find a dataset's row: in the checkpoint, else in the corpus that it names, where that is still there; else 0."""
    from dataengine.store import Corpus

    if isinstance(ids := stated.get("dataset_ids"), dict):
        return int(ids.get(dataset, 0))
    uri = str((stated.get("data") or {}).get("uri", ""))
    if uri and Path(uri).is_dir() and Corpus.exists(uri):
        return Corpus.open(uri).datasets().get(dataset, 0)
    return 0
