"""What every training of a policy has in common: its windows, its batches, what its checkpoints tell of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import Field
from torch import Tensor

from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import LatentInfo, WindowSpec
from models.act import Act, ActConfig
from models.act.flops import forward_flops
from pipelines.output.text_table import text_table
from pipelines.training import data, tokenizer
from pipelines.training.act import cameras
from pipelines.training.act.bodies import bodies
from pipelines.training.act.config import PolicyConfig
from pipelines.training.act.online import OnlineLatents
from pipelines.training.act.scores import ActScores, evaluate
from pipelines.training.act.warnings import find_warnings
from pipelines.training.collators import ActCollator
from pipelines.training.frames import Buffers, Frames
from pipelines.training.seen import seen
from pipelines.training.task import TrainReport, TrainTask
from pipelines.training.tokenizer import Tokenizer

PLAIN_INTERVAL_S = 0.7
"""What `steps_per_latent` tells a policy that has no latent actions to space."""


class PolicyReport(TrainReport):
    """A policy, and how well it imitates episodes that it never saw."""

    use_latent: bool
    latent: str
    cameras: list[str] = Field(default_factory=list)
    """Slots that it reads, of those that the data has."""
    cameras_left_out: list[str] = Field(default_factory=list)
    """Slots of the data that it does not read."""
    scores: ActScores = ActScores()

    def results(self) -> Iterable[str]:
        """Print a row per embodiment, and the losses."""
        rows = [
            [s.embodiment, s.windows, f"{s.action_error:.4f}", f"{s.held_error:.4f}"] for s in self.scores.embodiments
        ]
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.scores.losses.items())
        head = [self.eval_split, "windows", "action error", "if the mean is always done"]
        return [text_table(head, rows), f"losses on {self.eval_split}: {losses}"]


P = TypeVar("P", bound=PolicyConfig)
R = TypeVar("R", bound=PolicyReport)


class PolicyTask(TrainTask[P, Act, ActCollator, R]):
    """A picture, a state and an instruction; the latent actions and the chunk of actions that follow."""

    products = (tokenizer.FILE_NAME,)
    normalizer: Normalizer
    latent: LatentInfo | None
    """None for a policy that plans nothing."""
    online: OnlineLatents | None = None
    """What computes them, where no column of the data holds them."""
    shape: ActConfig
    tokenizer: Tokenizer

    def _window_spec(self) -> WindowSpec:
        """Give the windows of what was found."""
        return WindowSpec(
            interval_s=self.latent.interval_s if self.latent else PLAIN_INTERVAL_S,
            optional_slots=("wrist", *self.shape.more_cameras) if self.shape.wrist else (),
            horizon=self.shape.horizon,
            latent=self.latent.name if self.latent and self.online is None else "",
            num_latents=self.shape.num_latents if self.latent else 0,
        )

    def check(self) -> Iterator[str]:
        """Say which cameras are read, and what may go wrong with this data and these settings."""
        yield cameras.describe(self.spec, self.data.train)
        column = self.latent if self.online is None else None
        yield from find_warnings(
            self.config, self.data.reader, self.normalizer, column, self.data.train, self.shape.latent_scale
        )

    def collator(self, buffers: Buffers) -> ActCollator:
        """Make what turns windows into observations, plans and chunks."""
        c, shape = self.config, self.shape
        frames = Frames(
            self.data.reader,
            (*self.spec.slots, *self.spec.optional_slots),
            shape.vlm.vision.image_size,
            cache_mb=c.cache_mb,
            num_threads=c.threads,
        )
        return ActCollator(
            frames=frames,
            buffers=buffers,
            normalizer=self.normalizer,
            tokenizer=self.tokenizer,
            text_length=shape.vlm.text_length,
            state_dim=max(shape.state_dims),
            action_dim=max(shape.action_dims),
            horizon=shape.horizon,
            latent_shape=(shape.num_latents if self.latent else 0, shape.codes_per_latent, shape.latent_dim),
            use_wrist=shape.wrist is not None,
            more_cameras=shape.more_cameras,
            padded_actions=c.padded_actions,
            online=self.online,
            num_codes=shape.num_codes if self.latent and not shape.denoises_plan else 0,
        )

    def make(self) -> Act:
        """Draw the weights."""
        return Act(self.shape)

    def deliver(self, model: Act) -> Act:
        """Merge adapters into plain weights, which serve everywhere."""
        return model.merged()

    def figures_of(self, model: Act, means: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Add up the loss."""
        return model.figures(means)

    def flops(self, model: Act) -> float | None:
        """Count a window, where all of the model is trained and the plan is denoised."""
        shape = self.shape
        is_whole = not (shape.freeze_vision or shape.freeze_vlm or shape.lora)
        return 3 * forward_flops(shape) if is_whole and (shape.denoises_plan or not shape.use_latent) else None

    def lr_scale(self, name: str) -> float:
        """Give each part its own learning rate."""
        return self.config.lr_scales.of(name)

    def identity(self) -> dict[str, Any]:
        """Add the latent actions: those of another model would mean something else."""
        fingerprint = self.latent.fingerprint if self.latent else ""
        if self.latent and not self.latent.past_frames:  # with them is how all were, and what runs from then saved
            fingerprint += f", {self.latent.kind}"
        if self.online is not None:
            fingerprint += ", computed while training"
        return {
            **seen(self.data.reader, self.latent),
            "latent actions": fingerprint,
            **self.config.fixed_on_resume(),
        }

    def extra(self) -> dict[str, Any]:
        """Add what a policy needs to act: statistics, embodiments, the latent actions that it plans."""
        return {
            **data.origin(self.data.reader, self.normalizer.stats),
            "training": self.config.recorded(),
            "bodies": bodies(self.data.train, self.spec),
            "latent": self.latent and asdict(self.latent),
        }

    def files(self) -> dict[str, str]:
        """Keep the tokenizer with the weights."""
        return {tokenizer.FILE_NAME: self.tokenizer.text}

    def evaluate(self, model: Act, collator: ActCollator, shares: Mapping[str, float]) -> dict[str, Any]:
        """Compare losses and sampled actions with episodes that it never saw."""
        training_data, most = self.data, self.config.val_windows
        return {"scores": evaluate(model, training_data.reader, collator, self.spec, training_data.eval_episodes, most)}

    def facts_of_policy(self) -> dict[str, Any]:
        """Tell which latent actions it plans, and which cameras it reads."""
        read, left_out = cameras.read_and_left_out(self.spec, self.data.train)
        return {
            "use_latent": self.latent is not None,
            "latent": self.latent.name if self.latent else "",
            "cameras": read,
            "cameras_left_out": left_out,
        }
