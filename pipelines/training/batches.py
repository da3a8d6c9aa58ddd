"""A Window becomes a Batch: numbers normalised, padded to the model's widths and masked; pictures stay uint8.

Shape letters as in `models/batch.py`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataengine.errors import DataEngineError
from dataengine.normalize import Column, Normalizer
from dataengine.windows import Window
from models.batch import ActBatch, LamBatch
from pipelines.training.frames import Buffers, Frames
from pipelines.training.tokenizer import Tokenizer

Body = tuple[str, str]
"""Embodiment and dataset."""
PaddedActions = Literal["repeat", "rest", "skip"]
"""What a chunk holds beyond an episode's end: the last action again; standing still (no change, no speed, the same
pose and gripper); nothing that counts."""


@dataclass(frozen=True, kw_only=True)
class LamBatches:
    """Makes batches for the latent action model."""

    frames: Frames
    buffers: Buffers
    normalizer: Normalizer
    state_dim: int
    action_dim: int

    def make(self, windows: Sequence[Window]) -> LamBatch:
        """Stack clips and what lies between their frames; h is the batch's largest stride."""
        b, t, h = len(windows), len(windows[0].frames), max(w.stride for w in windows)
        state = np.zeros((b, t - 1, h + 1, self.state_dim), np.float32)
        action = np.zeros((b, t - 1, h, self.action_dim), np.float32)
        state_mask, action_mask = np.zeros(state.shape, bool), np.zeros(action.shape, bool)
        for body, places in _robots(windows):
            for i in places:
                w = windows[i]
                # A pair whose second frame is missing tells nothing, although some of its steps may exist.
                pairs = int(w.frame_mask.sum()) - 1
                steps = np.arange(pairs)[:, None] * w.stride + np.arange(w.stride + 1)
                if w.state is not None:
                    state[i, :pairs, : w.stride + 1, : w.state.shape[1]] = w.state[steps]
                    state_mask[i, :pairs, 1 : w.stride + 1, : w.state.shape[1]] = True
                    if pairs < t - 1:
                        state[i, pairs:, 0, : w.state.shape[1]] = w.state[pairs * w.stride]
                if w.action is not None:
                    action[i, :pairs, : w.stride, : w.action.shape[1]] = w.action[steps[:, :-1]]
                    action_mask[i, :pairs, : w.stride, : w.action.shape[1]] = True
            _normalize(self.normalizer, body, "state", state, places)
            _normalize(self.normalizer, body, "action", action, places)
        future = state[:, :, 1:] * state_mask[:, :, 1:]
        return LamBatch(
            video=_pictures(self.frames, self.buffers, windows, "primary", t).unflatten(0, (b, t)),
            frame_mask=torch.from_numpy(np.stack([w.frame_mask for w in windows])),
            state=torch.from_numpy(np.ascontiguousarray(state[:, :, 0])),
            future_state=torch.from_numpy(future),
            action=torch.from_numpy(action * action_mask),
            state_mask=torch.from_numpy(np.ascontiguousarray(state_mask[:, :, 1:])),
            action_mask=torch.from_numpy(action_mask),
            dataset_id=torch.tensor([w.episode.dataset_id for w in windows]),
            control_hz=torch.tensor([w.episode.control_hz for w in windows], dtype=torch.float32),
        )


@dataclass(frozen=True, kw_only=True)
class ActBatches:
    """Makes batches for the policy."""

    frames: Frames
    buffers: Buffers
    normalizer: Normalizer
    tokenizer: Tokenizer
    text_length: int
    state_dim: int
    action_dim: int
    horizon: int
    latent_shape: tuple[int, int, int]
    """(n, k, d) of the plan; n = 0 leaves it empty."""
    use_wrist: bool
    padded_actions: PaddedActions

    def make(self, windows: Sequence[Window]) -> ActBatch:
        """Stack first frames, states, plans and the chunks of actions that follow."""
        b = len(windows)
        state = np.zeros((b, self.state_dim), np.float32)
        action = np.zeros((b, self.horizon, self.action_dim), np.float32)
        state_mask, action_mask = np.zeros(state.shape, bool), np.zeros(action.shape, bool)
        for body, places in _robots(windows):
            for i in places:
                w = windows[i]
                if w.state is not None:
                    state[i, : w.state.shape[1]] = w.state[0]
                    state_mask[i, : w.state.shape[1]] = True
                if w.action is not None and len(w.action):
                    chunk = w.action[: self.horizon]
                    action[i, : len(chunk), : chunk.shape[1]] = chunk
                    action_mask[i, : len(chunk), : chunk.shape[1]] = True
                    after = self._after(body, chunk[-1])
                    if after is not None:
                        action[i, len(chunk) :, : chunk.shape[1]] = after
                        action_mask[i, len(chunk) :, : chunk.shape[1]] = True
            _normalize(self.normalizer, body, "state", state, places)
            _normalize(self.normalizer, body, "action", action, places)
        n, k, d = self.latent_shape
        latent, latent_mask = np.zeros((b, n, k, d), np.float32), np.zeros((b, n), bool)
        for i, w in enumerate(windows):
            if n and w.latent is not None and w.latent_mask is not None:
                latent[i], latent_mask[i] = w.latent[:n], w.latent_mask[:n]
        token_ids, token_mask = self.tokenizer.encode([w.instruction for w in windows], self.text_length)
        has_wrist = np.array([self.use_wrist and "wrist" in w.episode.cameras for w in windows])
        return ActBatch(
            image=_pictures(self.frames, self.buffers, windows, "primary", 1),
            wrist=self._wrist(windows, has_wrist),
            has_wrist=torch.from_numpy(has_wrist),
            token_ids=torch.from_numpy(token_ids),
            token_mask=torch.from_numpy(token_mask),
            state=torch.from_numpy(state),
            state_mask=torch.from_numpy(state_mask),
            latent=torch.from_numpy(latent),
            latent_mask=torch.from_numpy(latent_mask),
            action=torch.from_numpy(action * action_mask),
            action_mask=torch.from_numpy(action_mask),
            embodiment_id=torch.tensor([w.episode.embodiment_id for w in windows]),
            dataset_id=torch.tensor([w.episode.dataset_id for w in windows]),
            steps_per_latent=torch.tensor([w.stride for w in windows], dtype=torch.float32),
            control_hz=torch.tensor([w.episode.control_hz for w in windows], dtype=torch.float32),
        )

    def _after(self, body: Body, last: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Give the action of every step beyond an episode's end, in house units, or None if such steps do not count."""
        if self.padded_actions == "rest":
            return self.normalizer.at_rest(body[0], last, body[1])
        return last if self.padded_actions == "repeat" else None

    def _wrist(self, windows: Sequence[Window], has_wrist: NDArray[np.bool_]) -> Tensor:
        side = self.frames.side
        if not has_wrist.any():
            # One black picture seen b times: no memory for views that nobody has.
            return torch.zeros(1, 3, side, side, dtype=torch.uint8).expand(len(windows), -1, -1, -1)
        return _pictures(self.frames, self.buffers, windows, "wrist", 1)


def _robots(windows: Sequence[Window]) -> Iterator[tuple[Body, list[int]]]:
    """Group the places of robot windows by body and dataset, so that each group is normalised at once."""
    groups: dict[Body, list[int]] = defaultdict(list)
    for i, w in enumerate(windows):
        if w.state is not None or w.action is not None:
            groups[w.episode.embodiment, w.episode.dataset].append(i)
    yield from groups.items()


def _normalize(
    normalizer: Normalizer, body: Body, column: Column, array: NDArray[np.float32], places: list[int]
) -> None:
    """Normalise the rows at `places` in place; dimensions that the embodiment lacks stay as they are."""
    embodiment, dataset = body
    dim = normalizer.dim(embodiment, column, dataset)
    if dim > array.shape[-1]:
        raise DataEngineError(
            f"{column} of embodiment '{embodiment}' has {dim} values, the model takes {array.shape[-1]} at most"
        )
    if dim:
        array[places, ..., :dim] = normalizer.normalize(embodiment, column, array[places, ..., :dim], dataset)


def _pictures(frames: Frames, buffers: Buffers, windows: Sequence[Window], slot: str, t: int) -> Tensor:
    """Give (b t, 3, side, side) pictures of a slot, black where an episode has no such camera.

    Channels come first as a view only: neither the processor nor the device moves a byte for it.
    """
    side = frames.side
    out = buffers.take(slot, (len(windows) * t, side, side, 3))
    having = [i for i, w in enumerate(windows) if slot in w.episode.cameras]
    wanted = [(windows[i].episode.row, int(frame)) for i in having for frame in windows[i].frames[:t]]
    if len(having) == len(windows):
        frames.fetch(slot, wanted, out)
    else:
        some = np.empty((len(wanted), side, side, 3), np.uint8)
        frames.fetch(slot, wanted, some)
        out[:] = 0
        out.reshape(len(windows), t, side, side, 3)[having] = some.reshape(len(having), t, side, side, 3)
    return torch.from_numpy(out).permute(0, 3, 1, 2)
