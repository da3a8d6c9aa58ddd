"""A Window becomes a Batch: numbers normalised, padded to the model's widths and masked; pictures stay uint8.

Shape letters as in `models/batch.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataengine.errors import DataEngineError
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import Window
from models.batch import ActBatch, LamBatch
from pipelines.training.config import PaddedActions
from pipelines.training.frames import Buffers, Frames
from pipelines.training.observation import EmbodimentKey, Instant, Observer, vector_transforms
from pipelines.training.tokenizer import Tokenizer


class Planner(Protocol):
    """Computes the latent actions of windows."""

    def plans(self, windows: Sequence[Window], num_latents: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give them (b, n, k, d), and which there are."""
        ...


@dataclass(frozen=True, kw_only=True)
class LamCollator:
    """Collates windows into batches for the latent action model."""

    frames: Frames
    buffers: Buffers
    normalizer: Normalizer
    state_dim: int
    action_dim: int

    def collate(self, windows: Sequence[Window]) -> LamBatch:
        """Stack clips and what lies between their frames; h is the batch's largest stride."""
        b, t, h = len(windows), len(windows[0].frames), max(w.stride for w in windows)
        state = np.zeros((b, t - 1, h + 1, self.state_dim), np.float32)
        action = np.zeros((b, t - 1, h, self.action_dim), np.float32)
        state_mask, action_mask = np.zeros(state.shape, bool), np.zeros(action.shape, bool)
        keys = _keys(windows)
        states = {i: w.state for i, w in enumerate(windows) if w.state is not None}
        for i, felt in vector_transforms(self.normalizer, "state", self.state_dim).apply_each(states, keys):
            stride, (pairs, steps) = windows[i].stride, _pairs(windows[i])
            known = np.isfinite(states[i])  # hands of people come and go
            felt = np.nan_to_num(felt)
            state[i, :pairs, : stride + 1] = felt[steps]
            state_mask[i, :pairs, 1 : stride + 1, : states[i].shape[1]] = known[steps[:, 1:]]
            if pairs < t - 1:
                state[i, pairs:, 0] = felt[pairs * stride]
        actions = {i: w.action for i, w in enumerate(windows) if w.action is not None}
        for i, done in vector_transforms(self.normalizer, "action", self.action_dim).apply_each(actions, keys):
            stride, (pairs, steps) = windows[i].stride, _pairs(windows[i])
            known = np.isfinite(actions[i])
            action[i, :pairs, :stride] = np.nan_to_num(done)[steps[:, :-1]]
            action_mask[i, :pairs, :stride, : actions[i].shape[1]] = known[steps[:, :-1]]
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
class ActCollator:
    """Collates windows into batches for the policy."""

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
    more_cameras: tuple[str, ...] = ()
    """Slots of the policy's further cameras."""
    padded_actions: PaddedActions
    online: Planner | None = None
    """Computes the plans, where windows hold none."""
    num_codes: int = 0
    """Codes that there are, where plans are made of them; 0 leaves them out."""

    def collate(self, windows: Sequence[Window]) -> ActBatch:
        """Stack first frames, states, plans and the chunks of actions that follow."""
        has_wrist = np.array([self.use_wrist and "wrist" in w.episode.cameras for w in windows])
        observer = Observer(self.normalizer, self.tokenizer, self.text_length, self.state_dim)
        seen = observer.observe(
            [_instant(w) for w in windows],
            _pictures(self.frames, self.buffers, windows, "primary", 1),
            self._wrist(windows, has_wrist),
            has_wrist,
        )
        views = self._views(windows)
        action, action_mask = self._chunks(windows)
        latent, latent_mask = self._plans(windows)
        return ActBatch(
            **{f.name: getattr(seen, f.name) for f in fields(seen)} | views,
            latent=torch.from_numpy(latent),
            latent_mask=torch.from_numpy(latent_mask),
            codes=self._codes(windows),
            action=torch.from_numpy(action * action_mask),
            action_mask=torch.from_numpy(action_mask),
        )

    def _chunks(self, windows: Sequence[Window]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give chunks of actions (b, h, a), and which of their numbers count."""
        action = np.zeros((len(windows), self.horizon, self.action_dim), np.float32)
        mask = np.zeros(action.shape, bool)
        keys = _keys(windows)
        chunks = {
            i: self._chunk(w.action[: self.horizon], keys[i])
            for i, w in enumerate(windows)
            if w.action is not None and len(w.action)
        }
        for i, chunk in vector_transforms(self.normalizer, "action", self.action_dim).apply_each(chunks, keys):
            action[i, : len(chunk)] = chunk
            mask[i, : len(chunk), : chunks[i].shape[1]] = True
        return action, mask

    def _plans(self, windows: Sequence[Window]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the latent actions (b, n, k, d) that follow, and which there are."""
        n, k, d = self.latent_shape
        if n and self.online is not None:
            return self.online.plans(windows, n)
        latent, mask = np.zeros((len(windows), n, k, d), np.float32), np.zeros((len(windows), n), bool)
        for i, w in enumerate(windows):
            if n and w.latent is not None and w.latent_mask is not None:
                latent[i], mask[i] = w.latent[:n], w.latent_mask[:n]
        return latent, mask

    def _codes(self, windows: Sequence[Window]) -> Tensor | None:
        """Give the codes (b, n, k) of the plans; raise DataEngineError where one is none of those that there are."""
        if not self.num_codes:
            return None
        if self.online is not None:
            raise DataEngineError(
                "plans of codes are learnt from labels; `villa label` writes them, or take planner flow"
            )
        n, k, _ = self.latent_shape
        codes = np.zeros((len(windows), n, k), np.int64)
        for i, w in enumerate(windows):
            if w.codes is not None:
                codes[i] = np.maximum(w.codes[:n], 0)
        if codes.size and codes.max() >= self.num_codes:
            raise DataEngineError(
                f"labels have code {codes.max()}, the policy plans {self.num_codes} codes; set model.num_codes to as "
                f"many as the latent action model has"
            )
        return torch.from_numpy(codes)

    def _chunk(self, actions: NDArray[np.float32], key: EmbodimentKey) -> NDArray[np.float32]:
        """Go on beyond an episode's end, where that teaches anything."""
        after = self._after(key, actions[-1])
        if after is None or len(actions) == self.horizon:
            return actions
        return np.concatenate([actions, np.broadcast_to(after, (self.horizon - len(actions), len(after)))])

    def _after(self, key: EmbodimentKey, last: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Give the action of every step beyond an episode's end, in house units, or None if such steps do not count."""
        if self.padded_actions in ("rest", "middle"):
            return self.normalizer.at_rest(key[0], last, key[1], middle=self.padded_actions == "middle")
        return last if self.padded_actions == "repeat" else None

    def _wrist(self, windows: Sequence[Window], has_wrist: NDArray[np.bool_]) -> Tensor:
        side = self.frames.side
        if not has_wrist.any():
            # One black picture seen b times: no memory for views that nobody has.
            return torch.zeros(1, 3, side, side, dtype=torch.uint8).expand(len(windows), -1, -1, -1)
        return _pictures(self.frames, self.buffers, windows, "wrist", 1)

    def _views(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """Give pictures of further cameras (b, v, 3, side, side), and which there are."""
        if not self.more_cameras:
            return {}
        pictures = [_pictures(self.frames, self.buffers, windows, slot, 1) for slot in self.more_cameras]
        there = [[slot in w.episode.cameras for slot in self.more_cameras] for w in windows]
        return {"views": torch.stack(pictures, dim=1), "has_views": torch.tensor(there)}


def _keys(windows: Sequence[Window]) -> dict[int, EmbodimentKey]:
    return {i: (w.episode.embodiment, w.episode.dataset) for i, w in enumerate(windows)}


def _pairs(window: Window) -> tuple[int, NDArray[np.int64]]:
    """Count the pairs of frames that are there, and give the steps (n, stride + 1) of each.

    A pair whose second frame is missing tells nothing, although some of its steps may exist.
    """
    pairs = int(window.frame_mask.sum()) - 1
    return pairs, np.arange(pairs)[:, None] * window.stride + np.arange(window.stride + 1)


def _instant(window: Window) -> Instant:
    """Take the first moment of a window."""
    e = window.episode
    return Instant(
        embodiment=e.embodiment,
        dataset=e.dataset,
        state=None if window.state is None else window.state[0],
        instruction=window.instruction,
        embodiment_id=e.embodiment_id,
        dataset_id=e.dataset_id,
        steps_per_latent=window.stride,
        control_hz=e.control_hz,
    )


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
