"""Batches that models train on. Shape letters: b batch, t frames, n latent actions, k codes in one latent action, d
their width, h horizon of control steps, s state, a action, l text tokens, c channels.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, device


class _OnDevice:
    """Moves the tensors of a batch to a device."""

    on_host: ClassVar[frozenset[str]] = frozenset()
    """What the host must know to launch the right work: it stays, since reading it from a device waits for that."""

    def to(self, where: device | str) -> Any:
        """Copy to a device, asynchronously where a tensor is page-locked."""
        moved = {name: value.to(where, non_blocking=True) for name, value in self.travelling().items()}
        return replace(self, **moved)  # type: ignore[type-var]

    def pinned(self) -> Any:
        """Page-lock what will be copied to a GPU, where the host waits for each larger copy of other memory."""
        locked = {name: value.pin_memory() for name, value in self.travelling().items()}  # those that are stay
        return replace(self, **locked)  # type: ignore[type-var]

    def travelling(self) -> dict[str, Tensor]:
        """Give the tensors that a device computes with, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.on_host}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class LamBatch(_OnDevice):
    """Clips with the robot's states and actions between their frames. Numbers are normalised, padded and masked.

    Between frame i and frame i + 1 lie K control steps (K differs by embodiment); h is the batch's largest K.
    """

    video: UInt8[Tensor, "b t c height width"]
    frame_mask: Bool[Tensor, "b t"]
    """False where the episode had ended and its last frame is repeated; a pair counts when both its frames do."""
    state: Float[Tensor, "b t-1 s"]
    """State at the first frame of each pair."""
    future_state: Float[Tensor, "b t-1 h s"]
    """States 1 to K steps after the pair's first frame."""
    action: Float[Tensor, "b t-1 h a"]
    """Actions that cause them: steps 0 to K - 1 after the pair's first frame."""
    state_mask: Bool[Tensor, "b t-1 h s"]
    """True where `future_state` counts: the step exists and the embodiment has that dimension."""
    action_mask: Bool[Tensor, "b t-1 h a"]
    dataset_id: Int[Tensor, "b"]
    """Row of the dataset table; 0 is unknown."""
    control_hz: Float[Tensor, "b"]


@dataclass(frozen=True)
class WorldBatch(_OnDevice):
    """Clips with the latent actions between their frames, for the world model."""

    video: UInt8[Tensor, "b t c height width"]
    frame_mask: Bool[Tensor, "b t"]
    """False where the episode had ended."""
    latent: Float[Tensor, "b t-1 k d"]
    """Latent action i leads from frame i to frame i + 1; zeros where masked."""
    latent_mask: Bool[Tensor, "b t-1"]


@dataclass(frozen=True)
class Observation(_OnDevice):
    """Input of the policy: images, an instruction, and the robot's state, embodiment and control rate."""

    on_host: ClassVar[frozenset[str]] = frozenset({"has_wrist", "has_views", "embodiment_id"})

    image: UInt8[Tensor, "b c height width"]
    wrist: UInt8[Tensor, "b c height_wrist width_wrist"]
    """Zeros where `has_wrist` is false."""
    has_wrist: Bool[Tensor, "b"]
    token_ids: Int[Tensor, "b l"]
    """BOS, instruction and newline, right-padded with 0; the model places the image tokens itself."""
    token_mask: Bool[Tensor, "b l"]
    state: Float[Tensor, "b s"]
    state_mask: Bool[Tensor, "b s"]
    embodiment_id: Int[Tensor, "b"]
    """Selects state encoder, action encoder and action decoder; those of row 0 stay untrained."""
    dataset_id: Int[Tensor, "b"]
    """Row of the dataset table. Row 0 stays untrained and unused: a policy acts as in a dataset of its training."""
    steps_per_latent: Float[Tensor, "b"]
    """Control steps that one latent action spans."""
    control_hz: Float[Tensor, "b"]
    views: UInt8[Tensor, "b v c height_view width_view"] | None = field(default=None, kw_only=True)
    """Of the policy's further cameras, in the order of its settings; None where it has none."""
    has_views: Bool[Tensor, "b v"] | None = field(default=None, kw_only=True)
    """False where a view is missing, hence black."""


@dataclass(frozen=True)
class ActBatch(Observation):
    """An observation, the latent actions and the chunk of robot actions that follow it."""

    latent: Float[Tensor, "b n k d"]
    """The LAM's codebook vectors; zeros where masked."""
    latent_mask: Bool[Tensor, "b n"]
    action: Float[Tensor, "b h a"]
    action_mask: Bool[Tensor, "b h a"]
    """False for human clips (all), missing dimensions and steps that do not count."""
    codes: Int[Tensor, "b n k"] | None = field(default=None, kw_only=True)
    """The same latent actions as codes, 0 where masked; None where nobody plans codes."""
