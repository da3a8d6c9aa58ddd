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
from dataengine.windows.normalize import Column, Normalizer
from dataengine.windows.window import Window
from models.batch import ActBatch, LamBatch
from pipelines.training.config import PaddedActions
from pipelines.training.frames import Buffers, Frames
from pipelines.training.observation import EmbodimentKey, Instant, Observer, rows_by_key, vector_transforms
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
        felt = _joined(self.normalizer, "state", self.state_dim, windows)
        done = _joined(self.normalizer, "action", self.action_dim, windows)
        for (stride, pairs), alike in _by_pairs(windows).items():
            steps = np.arange(pairs)[:, None] * stride + np.arange(stride + 1)
            rows, at = felt.steps(alike, steps)
            state[rows, :pairs, : stride + 1] = felt.values[at]
            state_mask[rows, :pairs, 1 : stride + 1] = felt.known[at[:, :, 1:]]
            if pairs < t - 1:
                state[rows, pairs:, 0] = felt.values[at[:, :1, 0] + pairs * stride]
            rows, at = done.steps(alike, steps[:, :-1])
            action[rows, :pairs, :stride] = done.values[at]
            action_mask[rows, :pairs, :stride] = done.known[at]
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


@dataclass(frozen=True)
class _Joined:
    """Vectors of some windows one after another, as the model reads them; 0 where they are not known."""

    values: NDArray[np.float32]
    """(n, width)."""
    known: NDArray[np.bool_]
    """(n, width); hands of people come and go."""
    begin: NDArray[np.int64]
    """(b,) where each window's begin; -1 where it has none."""

    def steps(self, rows: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of rows that have vectors, say which they are (r,) and where their steps (p, s) lie: (r, p, s)."""
        having = rows[self.begin[rows] >= 0]
        return having, self.begin[having][:, None, None] + steps


def _joined(normalizer: Normalizer, column: Column, width: int, windows: Sequence[Window]) -> _Joined:
    """Normalise a column of some windows, each embodiment's at once."""
    arrays = {i: x for i, w in enumerate(windows) if (x := w.state if column == "state" else w.action) is not None}
    num_rows = sum(map(len, arrays.values()))
    values, known = np.zeros((num_rows, width), np.float32), np.zeros((num_rows, width), bool)
    begin, end, keys, transforms = (
        np.full(len(windows), -1),
        0,
        _keys(windows),
        vector_transforms(normalizer, column, width),
    )
    for key, rows in rows_by_key({i: keys[i] for i in arrays}):
        lengths = [len(arrays[i]) for i in rows]
        raw = np.concatenate([arrays[i] for i in rows])
        ends = end + np.cumsum(lengths)
        begin[rows], span = ends - lengths, slice(end, end := int(ends[-1]))
        values[span] = transforms.apply(raw, key)
        known[span, : raw.shape[1]] = np.isfinite(raw)
    values[np.isnan(values)] = 0
    return _Joined(values, known, begin)


def _by_pairs(windows: Sequence[Window]) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Group windows (b) by their stride and by the pairs of frames that are there.

    A pair whose second frame is missing tells nothing, although some of its steps may exist.
    """
    pairs = np.stack([w.frame_mask for w in windows]).sum(axis=1) - 1
    groups: dict[tuple[int, int], list[int]] = {}
    for i, (w, count) in enumerate(zip(windows, pairs.tolist(), strict=True)):
        groups.setdefault((w.stride, count), []).append(i)
    return {key: np.array(rows) for key, rows in groups.items()}


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
