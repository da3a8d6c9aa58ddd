"""Denoising of plans and actions: everything that stays constant over the Euler steps is computed once.

That is the prefix, its keys and values in the cache that both experts write to, masks, rotary tables, context tokens,
what flow times add inside encoders, and the heads of the embodiments that are asked for, of no others.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from models import flow
from models.act import masks, plan
from models.act.caches import LatentCache, PrefixCache
from models.act.config import ActConfig
from models.act.context import Context
from models.act.embodiment import RowLinear
from models.act.executed import CLEAN, Held
from models.act.experts import LatentExpert, RobotExpert
from models.batch import Observation
from models.layers.attention import KeyValue, row_bias
from models.layers.joint import JointStack
from models.layers.sinusoid import time_sinusoid
from models.layers.stack import positions_from, product_dtype


@runtime_checkable
class Policy(Protocol):
    """What sampling needs of the actor."""

    config: ActConfig
    latent: LatentExpert | None
    robot: RobotExpert

    def encode_prefix(self, observation: Observation) -> PrefixCache:
        """Compute the KV cache of image and instruction."""
        ...


class Head(NamedTuple):
    """What turns a stream's numbers into tokens, and its tokens into velocities."""

    linear_1: RowLinear
    linear_2: RowLinear
    linear_3: RowLinear
    decoder: RowLinear

    @classmethod
    def of_latent(cls, expert: LatentExpert) -> "Head":
        """Take that of the latent expert."""
        e, decoder = expert.encoder, expert.decoder
        layers = (RowLinear(layer.weight, layer.bias) for layer in (e.linear_1, e.linear_2, e.linear_3, decoder))
        return cls(*layers)._ready(expert.norm.gain(), expert.stack.config.embed_scale)

    @classmethod
    def of_robots(cls, expert: RobotExpert, ids: Sequence[int]) -> "Head":
        """Gather those of the embodiments of a batch's rows."""
        w, dim, encoder = expert.width, expert.decoder.out_width, expert.encoder
        layers = (
            encoder.of_rows(ids, "inner.linear_1", dim, w),
            encoder.of_rows(ids, "inner.linear_2", 2 * w, w),
            encoder.of_rows(ids, "inner.linear_3", w, w),
            expert.decoder.of_rows(ids, "", w, dim),
        )
        return cls(*layers)._ready(expert.norm.gain(), expert.stack.config.embed_scale)

    def _ready(self, gain: Float[Tensor, "d"], scale: float) -> "Head":
        """Multiply the factor of tokens, and the gain of the last norm, into the layers beside them."""
        return self._replace(linear_3=self.linear_3.times(scale, scale), decoder=self.decoder.times(gain))

    def of_times(self, t: Float[Tensor, "k"], b: int) -> Float[Tensor, "#b k d"]:
        """Give what flow times add inside the encoder."""
        weight, width = self.linear_2.weight, self.linear_3.weight.shape[-1]
        waves = time_sinusoid(t, width).to(weight.dtype).expand(b if weight.dim() == 3 else 1, -1, -1)
        return RowLinear(weight[..., :width], self.linear_2.bias)(waves)

    def encode(self, x: Float[Tensor, "b n x"], time: Float[Tensor, "#b #n d"]) -> Float[Tensor, "b n d"]:
        """Encode numbers at a flow time that `of_times` encoded, of all of them or of each."""
        weight = self.linear_2.weight
        e = self.linear_1(x.to(weight.dtype))
        return self.linear_3(F.silu(RowLinear(weight[..., -e.shape[-1] :], None)(e) + time))


class Weights:
    """Weights of both experts as denoising uses them: copies, which later changes of the model do not reach."""

    def __init__(self, act: Policy, compiled: bool = False) -> None:
        self.dtype = product_dtype(act.robot.norm.weight)
        experts = [act.robot] if act.latent is None else [act.latent, act.robot]
        self.joint = JointStack([expert.stack for expert in experts], self.dtype, compiled)
        self.latent = None if act.latent is None else Head.of_latent(act.latent)


class Asked(NamedTuple):
    """Layers of the embodiments of a batch's rows."""

    head: Head
    state: RowLinear | None
    """None where the robot's state is no token."""

    @classmethod
    def of(cls, act: Policy, ids: Sequence[int]) -> "Asked":
        """Gather them; raise ValueError for an embodiment that the model does not have."""
        head, state = Head.of_robots(act.robot, ids), act.robot.context.state
        return cls(head, None if state is None else state.of_rows(ids, "inner", max(state.dims), act.robot.width))


class Denoiser:
    """Streams of one prediction over one prefix: the latent expert's, then the robot expert's, of n tokens each.

    In the cache, n columns of each follow those of the prefix. The latent stream has z tokens, the robot's c of context
    and h of control steps; padding fills both up to n, and nobody reads it.
    """

    def __init__(
        self, act: Policy, weights: Weights, prefix: PrefixCache, z: int, context: Context | None, head: Head | None
    ) -> None:
        self.config, self.weights, self.context = act.config, weights, context
        c = 0 if context is None else context.tokens.shape[1]
        self.z, self.r = z, 0 if context is None else c + act.config.horizon
        self.n = max(self.z, self.r)
        self.heads, self.rows = [], []
        if weights.latent is not None:
            self.heads, self.rows = [weights.latent], [slice(0, z)]
        if head is not None:
            self.heads, self.rows = [*self.heads, head], [*self.rows, slice(c, self.r)]
        b, self.v = prefix.prefix_mask.shape
        device = prefix.prefix_mask.device
        self.mask = self._mask(prefix)
        self.cache = [self._begun(kv) for kv in prefix.kv_cache]
        self.table = weights.joint.table(positions_from(1, self.n, device), weights.dtype)
        shape = (len(self.heads), b, self.n, act.robot.width)
        self.tokens = torch.zeros(shape, dtype=weights.dtype, device=device)
        if context is not None:
            self.tokens[-1, :, :c] = context.tokens * act.config.expert.embed_scale

    def _mask(self, prefix: PrefixCache) -> Bool[Tensor, "b s n m"]:
        """Tell which columns of the cache each stream's rows attend to."""
        (b, v), n, z, r = prefix.prefix_mask.shape, self.n, self.z, self.r
        valid = prefix.prefix_mask.new_ones(b, n)
        mask = valid.new_zeros(b, len(self.heads), n, v + len(self.heads) * n)
        mask[..., 0] = True  # padding attends to something
        visible = valid[:, :z]
        if self.weights.latent is not None:
            mask[:, 0, :z, : v + z] = masks.latent_attention_mask(prefix.prefix_mask, visible)
            latent, prefix = plan.read_in_sampling(self.config, prefix, LatentCache([], visible))
            visible = latent.visible_mask
        if self.context is not None:
            steps = valid[:, : self.config.horizon]
            read = masks.robot_attention_mask(prefix.prefix_mask, visible, self.context.valid_mask, steps)
            own = mask.shape[-1] - n
            mask[:, -1, :r, : v + z], mask[:, -1, :r, own : own + r] = read.split([v + z, r], dim=-1)
        return mask

    def _begun(self, prefix: KeyValue) -> Float[Tensor, "two b g m d"]:
        """Make one block's cache, with the prefix in it."""
        b, groups, v, dim = prefix.key.shape
        cache = prefix.key.new_empty(2, b, groups, self.mask.shape[-1], dim, dtype=self.weights.dtype)
        cache[0, ..., :v, :], cache[1, ..., :v, :] = prefix
        return cache

    def integrate(
        self,
        x: Sequence[Tensor],
        times: Sequence[Float[Tensor, "k"]],
        steps: Sequence[Sequence[float]],
        first: int = 0,
        held: Held | None = None,
    ) -> list[Tensor]:
        """Take Euler steps with the numbers (b, z, d) and (b, h, a) of streams from the `first` on.

        `times` are the flow times of each stream's steps, `steps` their lengths; actions that are `held` stay.
        Their keys and values of the last step stay in the cache, for streams that run later.
        """
        b, last, expert = self.mask.shape[0], first + len(x), self.config.expert
        slot = self.v + first * self.n, self.v + last * self.n
        shared = expert.num_heads // expert.num_kv_heads
        bias = row_bias(self.mask[:, first:last, :, : slot[1]].flatten(1, 2), shared, self.weights.dtype)
        cache = [kv[..., : slot[1], :] for kv in self.cache]
        heads, rows, tokens = self.heads[first:last], self.rows[first:last], self.tokens[first:last]
        encoded = [list(head.of_times(t, b).split(1, dim=1)) for head, t in zip(heads, times, strict=True)]
        if held is not None:
            clean = heads[-1].of_times(times[-1].new_full((1,), CLEAN), b)
            encoded[-1] = [torch.where(held.mask[..., None], clean, time) for time in encoded[-1]]
        for i in range(len(steps[0])):
            for stream, (head, numbers, time, mine) in enumerate(zip(heads, x, encoded, rows, strict=True)):
                tokens[stream, :, mine] = head.encode(numbers, time[i])
            out = self.weights.joint(tokens, cache, self.table, bias, slot, first)
            velocities = [head.decoder(one[:, mine]) for head, one, mine in zip(heads, out, rows, strict=True)]
            if held is not None:
                velocities[-1] = held.still(velocities[-1])
            x = [torch.add(one, v, alpha=step[i]) for one, v, step in zip(x, velocities, steps, strict=True)]
        return list(x)


def denoise(
    act: Policy,
    weights: Weights,
    asked: Asked | None,
    observation: Observation,
    has_wrist: Bool[Tensor, "b"],
    latent: Float[Tensor, "b z d"],
    action: Float[Tensor, "b h a"] | None,
    held: Held | None,
    num_steps: int,
) -> tuple[Float[Tensor, "b z d"], Float[Tensor, "b h a"]]:
    """Integrate both streams from given noise, or latent actions alone, without ever waiting for the device.

    Actions that are `held` are those of the result. `has_wrist` is the observation's on the device.
    """
    context = None
    if action is not None and asked is not None:
        context = act.robot.context(observation, has_wrist, asked.state)
    head = None if asked is None else asked.head
    denoiser = Denoiser(act, weights, act.encode_prefix(observation), latent.shape[1], context, head)
    grids = list(flow.time_grid(num_steps, latent.device, act.config.flow))
    steps = [[1.0 / num_steps] * num_steps] * 2
    if not act.config.reference_latent_step:
        steps[0] = flow.time_grid(num_steps, torch.device("cpu"), act.config.flow)[0].diff().tolist()
    if action is not None and held is not None:
        action = held.put(action)
    x = [latent] if action is None else [latent, action]
    if weights.latent is None and action is None:
        return latent, latent.new_zeros(len(latent), 0, 0)
    if weights.latent is None:
        (action,) = denoiser.integrate(x[1:], grids[1:], steps[1:], held=held)
    elif act.config.clean_plan:
        latent = _clean_plan(denoiser, latent, num_steps)
        if action is not None:
            (action,) = denoiser.integrate(x[1:], grids[1:], steps[1:], first=1, held=held)
    else:
        latent, *rest = denoiser.integrate(x, grids[: len(x)], steps[: len(x)], held=None if action is None else held)
        action = rest[0] if rest else None
    return latent, latent.new_zeros(len(latent), 0, 0) if action is None else action


def _clean_plan(denoiser: Denoiser, x: Float[Tensor, "b z d"], num_steps: int) -> Float[Tensor, "b z d"]:
    """Sample the whole plan; its keys and values without noise stay in the cache."""
    step = denoiser.config.flow.t_max / num_steps
    t = torch.arange(num_steps + 1, device=x.device, dtype=torch.float32) * step
    (x,) = denoiser.integrate([x], [t[:-1]], [[step] * num_steps])
    denoiser.integrate([x], [t[-1:]], [[0.0]])
    return x
