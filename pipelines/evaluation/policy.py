"""A trained policy, alone with what its checkpoint carries: weights, statistics, tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.formats.resize import at_rest, resize
from dataengine.framing import Framing, stated_framings
from dataengine.windows.normalize import Normalizer

if TYPE_CHECKING:
    import torch

    from models.act import Act
    from models.act.realtime import Executing
    from models.act.sampler import Sampler
    from models.batch import Observation as PolicyInput
    from models.flow import Noise
    from pipelines.training.observation import Transforms
    from pipelines.training.tokenizer import Tokenizer

Precision = Literal["fp32", "bf16"]


class Observation(Protocol):
    """What a robot sees and feels at one instant."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """(height, width, 3) the primary camera."""
        ...

    @property
    def wrist(self) -> NDArray[np.uint8] | None:
        """(height, width, 3) the wrist camera, where there is one."""
        ...

    @property
    def state(self) -> NDArray[np.float32]:
        """(s,) canonical state, in house units."""
        ...

    @property
    def embodiment(self) -> str:
        """Name of the embodiment, as the corpus calls it."""
        ...


class Continuation(Protocol):
    """The chunk that a robot is executing while the next one is computed."""

    @property
    def delay(self) -> int:
        """Steps of it that will have been executed when the next one arrives."""
        ...

    @property
    def actions(self) -> NDArray[np.float32]:
        """(m, a) what is left of it, from now on: canonical, house units."""
        ...


_FACTS = ("embodiment_id", "dataset_id", "steps_per_latent", "control_hz")
"""What a policy must know of an embodiment in a dataset."""


class Prediction(NamedTuple):
    """What a policy says of b observations."""

    actions: NDArray[np.float32]
    """(b, h, a) canonical, house units."""
    latents: NDArray[np.float32]
    """(b, n, k, d) its plan; n is 0 for a policy without latent actions."""


@dataclass(frozen=True)
class ActPolicy:
    """Looks and acts. From zero noise equal observations give equal actions; the paper draws its noise."""

    model: "Act"
    normalizer: Normalizer
    tokenizer: "Tokenizer"
    bodies: dict[str, dict[str, Any]]
    """For each robot it was trained on: `embodiment_id`, and the facts of each of its `datasets` (`dataset_id`,
    `control_hz`, `steps_per_latent`), those of its commonest one again beside them."""
    device: str
    dataset: str | None = None
    """Which of a robot's datasets to act as in: its controller, its scale; None, or one that it is not in, means the
    one that has most of its steps."""
    latent: Mapping[str, Any] | None = None
    """The latent actions that it plans: name and fingerprint of their model, seconds between frames."""
    framings: Mapping[str, Framing] = field(default_factory=dict)
    """How frames of each dataset that it was trained on came to rest: what it sees goes the same way."""
    noise: "Noise" = "zero"
    generator: "torch.Generator | None" = None
    """Draws the noise, where it is drawn."""
    num_euler_steps: int | None = None
    """From noise to actions; None for as many as the model's settings say."""
    precision: Precision = "fp32"
    """That of weights and products: `cast` has made the model so."""
    compiles: bool = False
    """Whether operators of a prediction are fused, at the first one."""

    @classmethod
    def load(
        cls,
        directory: str | Path,
        device: str | None = None,
        *,
        dataset: str | None = None,
        noise: "Noise" = "zero",
        num_euler_steps: int | None = None,
        seed: int = 0,
        precision: Precision = "fp32",
        compiles: bool = False,
    ) -> "ActPolicy":
        """Read a finished run, one of its checkpoints, or of an unfinished run the newest checkpoint.

        It runs on the best device there is, unless one is named.
        """
        import torch

        from models import weights
        from models.act.sampler import cast
        from pipelines.device import pick_device
        from pipelines.training.act.saved import SavedPolicy

        chosen = pick_device(device)
        saved = SavedPolicy.read(directory, chosen)
        model = saved.model.merged()
        return cls(
            cast(model, torch.bfloat16) if precision == "bf16" else model,
            Normalizer(saved.statistics),
            saved.tokenizer,
            saved.bodies,
            str(chosen),
            dataset,
            saved.about.get("latent"),
            stated_framings(saved.about, saved.path / weights.CONFIG_NAME),
            noise,
            torch.Generator(chosen).manual_seed(seed),
            num_euler_steps,
            precision,
            compiles,
        )

    @cached_property
    def sampler(self) -> "Sampler":
        """What predicts: made at the first prediction, of the weights as they are then."""
        from models.act.sampler import Sampler

        return Sampler(self.model.merged(), self.compiles, self.replays_graphs)

    def acts_as_in(self, name: str) -> str:
        """Name the dataset whose controller and scale a robot's actions have; empty where the checkpoint is older."""
        body = self.bodies[name]
        if self.dataset in body.get("datasets", {}):
            return str(self.dataset)
        return str(body.get("dataset", ""))

    def act_batch(self, observations: Sequence[Observation], instructions: Sequence[str]) -> NDArray[np.float32]:
        """Give the next h canonical actions (b, h, a) of robots of one embodiment, in house units."""
        return self.predict(observations, instructions).actions

    def predict(
        self,
        observations: Sequence[Observation],
        instructions: Sequence[str],
        continued: Sequence[Continuation] | None = None,
        beta: float | None = None,
    ) -> Prediction:
        """Give the next actions of robots of one embodiment, and the latent plan behind them.

        With `continued`, one for each robot, they begin as the robots go on to do while they are computed (real-time
        chunking): as training taught, where it prepared for such delays, else guided with strength `beta`.
        """
        name = self._body(observations)
        dataset = self.acts_as_in(name)
        if continued is None:
            seen = self._see(name, *self._filled_up(observations, instructions))
            latents, actions = self.sampler.sample(seen, self.generator, self.noise, self.num_euler_steps)
        elif max(one.delay for one in continued) <= self.model.config.max_inference_delay:
            seen = self._see(name, *self._filled_up(observations, instructions))
            executing = self._executing((name, dataset), continued, len(seen.state))
            latents, actions = self.sampler.sample(
                seen, self.generator, self.noise, self.num_euler_steps, executing.held()
            )
        else:
            seen = self._see(name, observations, instructions)
            latents, actions = self._guided(seen, self._executing((name, dataset), continued, len(seen.state)), beta)
        chunks = self._actions().invert(actions[: len(observations)].float().cpu().numpy(), (name, dataset))
        if not np.isfinite(chunks).all():
            raise DataEngineError(
                f"policy gives actions that are no numbers for '{name}': its training went astray, as its losses in "
                f"metrics.jsonl tell, or the state that it was shown is none"
            )
        return Prediction(chunks, latents[: len(observations)].float().cpu().numpy())

    @property
    def replays_graphs(self) -> bool:
        """Whether a prediction is recorded as a CUDA graph for each size of a batch, and then replayed."""
        return self.device.startswith("cuda")

    def _filled_up(
        self, observations: Sequence[Observation], instructions: Sequence[str]
    ) -> tuple[Sequence[Observation], Sequence[str]]:
        """Repeat the last of a batch up to a power of two, where every size is a recording of its own: few are kept."""
        more = (1 << (len(observations) - 1).bit_length()) - len(observations) if self.replays_graphs else 0
        seen, texts = list(observations), list(instructions)
        return seen + seen[-1:] * more, texts + texts[-1:] * more

    def _executing(self, body: tuple[str, str], continued: Sequence[Continuation], rows: int) -> "Executing":
        """Arrange what robots are executing, in so many rows, of which the last ones are alike."""
        import torch

        from models.act.realtime import Executing

        horizon, continued = self.model.config.horizon, [*continued, *[continued[-1]] * (rows - len(continued))]
        given = np.zeros((len(continued), horizon, max(self.model.config.action_dims)), np.float32)
        for row, one in zip(given, continued, strict=True):
            left = one.actions[:horizon]
            row[: len(left)] = self._actions().apply(left, body)
        return Executing(
            torch.from_numpy(given).to(self.device),
            torch.tensor([min(len(one.actions), horizon) for one in continued], device=self.device),
            torch.tensor([one.delay for one in continued], device=self.device),
        )

    def _guided(
        self, seen: "PolicyInput", executing: "Executing", beta: float | None
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Sample latents (b, n, k, d) and normalised actions (b, h, a), guided to go on from what robots execute."""
        import torch

        from models.act.realtime import sample_continuing
        from models.guidance import BETA

        strength = BETA if beta is None else beta
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bf16"):
            return sample_continuing(
                self.model, seen, executing, self.generator, self.noise, self.num_euler_steps, beta=strength
            )

    def act(self, observation: Observation, instruction: str) -> NDArray[np.float32]:
        """Give the next h canonical actions (h, a) of one robot."""
        return self.act_batch([observation], [instruction])[0]

    def plan_batch(self, observations: Sequence[Observation], instructions: Sequence[str]) -> NDArray[np.float32]:
        """Give the latent actions (b, n, k, d) that it plans, for `Lam.render`; snap them to codes first.

        A plan follows from the primary picture and the instruction: any embodiment may ask, seen in training or not.
        """
        if not self.model.config.denoises_plan:
            raise DataEngineError("this policy was trained without latent actions and plans none")
        seen = self._see(None, *self._filled_up(observations, instructions))
        plans = self.sampler.plan(seen, self.generator, self.noise, self.num_euler_steps)
        return plans[: len(observations)].float().cpu().numpy()

    def _body(self, observations: Sequence[Observation]) -> str:
        names = sorted({o.embodiment for o in observations})
        if len(names) != 1:
            raise ValueError(f"one call serves one embodiment, found {', '.join(names) or 'no observation'}")
        if names[0] not in self.bodies:
            raise DataEngineError(
                f"policy does not know embodiment '{names[0]}', it was trained on {', '.join(self.bodies)}; "
                f"train one on data of this robot"
            )
        return names[0]

    def _see(self, name: str | None, observations: Sequence[Observation], instructions: Sequence[str]) -> "PolicyInput":
        """Arrange observations as in training; those of no embodiment in particular have no state, rate or wrist."""
        import torch

        from pipelines.training.observation import Instant, Observer

        config, side = self.model.config, self.model.config.vlm.vision.image_size
        dataset, facts = None, dict.fromkeys(_FACTS, 0)
        if name is not None:
            dataset = self.acts_as_in(name)
            facts = {**self.bodies[name], **self.bodies[name].get("datasets", {}).get(dataset, {})}
        states = self._states(name, dataset, observations)
        instants = [
            Instant(
                embodiment=name or "",
                dataset=dataset,
                state=state,
                instruction=text,
                **{key: facts[key] for key in _FACTS},
            )
            for state, text in zip(states, instructions, strict=True)
        ]
        wrists = [o.wrist if config.wrist and name is not None else None for o in observations]
        black = np.zeros((side, side, 3), np.uint8)

        framing = self._framing(dataset)

        def pictures(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
            framed = (at_rest(np.asarray(image), framing) for image in images)
            stacked = np.stack([resize(image, side, side) for image in framed])
            return torch.from_numpy(stacked).permute(0, 3, 1, 2)

        observer = Observer(self.normalizer, self.tokenizer, config.vlm.text_length, max(config.state_dims))
        seen = observer.observe(
            instants,
            pictures([o.image for o in observations]),
            pictures([black if w is None else w for w in wrists]),
            np.array([w is not None for w in wrists]),
        )
        if config.more_cameras and name is not None:
            views = [[getattr(o, slot, None) for o in observations] for slot in config.more_cameras]
            seen = replace(
                seen,
                views=torch.stack([pictures([black if v is None else v for v in one]) for one in views], dim=1),
                has_views=torch.tensor([[v is not None for v in one] for one in views]).T,
            )
        return seen.to(self.device)

    def _framing(self, dataset: str | None) -> Framing:
        """Say how frames came to rest in a dataset; where it is none that is known, as those of all did, if alike."""
        known = set(self.framings.values())
        return self.framings.get(dataset or "") or (known.pop() if len(known) == 1 else Framing())

    def _actions(self) -> "Transforms":
        """List what actions went through on the way to the model."""
        from pipelines.training.observation import vector_transforms

        return vector_transforms(self.normalizer, "action", max(self.model.config.action_dims))

    def _states(
        self, name: str | None, dataset: str | None, observations: Sequence[Observation]
    ) -> list[NDArray[np.float32] | None]:
        """Give canonical states; None for no embodiment in particular, and where recordings have none.

        Raise ValueError where one has not the width that the statistics have.
        """
        dim = 0 if name is None else self.normalizer.dim(name, "state", dataset)
        if not dim:
            return [None] * len(observations)
        states = [np.asarray(o.state, np.float32) for o in observations]
        if any(state.shape != (dim,) for state in states):
            raise ValueError(
                f"state of '{name}' has shape {states[0].shape}, expected ({dim},): canonical, house units"
            )
        return list(states)
