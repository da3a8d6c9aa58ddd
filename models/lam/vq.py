"""The vector quantiser: tokens become rows of one small codebook."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from models.lam.config import LamConfig
from models.parts import Counts, Draws, Random, mean_of

PAIRS = "pairs"
"""Name of the means over pairs of frames."""
COMMITMENT, CODEBOOK = "commitment", "codebook"
"""Figures: both are the same number, with gradients to tokens and to codes."""

RECENT_TOKENS = 4096
"""Tokens kept for initialising the codebook and reviving codes."""
BATCHES_REMEMBERED = 16
"""A batch fills at most one part in so many of them, so that they span several batches."""
ROWS_OF_STEP = RECENT_TOKENS // BATCHES_REMEMBERED
USAGE_DECAY = 0.95
CHECK_EVERY = 10
"""Steps between checks for dead codes: a check makes the host wait for the device."""
KMEANS_ROUNDS = 20


def masked_mean(
    values: Float[Tensor, "b n *rest"], mask: Bool[Tensor, "b n"], counts: Counts | None, figure: str
) -> Float[Tensor, ""]:
    """Average over the pairs that count, whatever the others hold; 0 if none does."""
    each = torch.where(mask, values.flatten(2).mean(dim=2), 0.0)
    return mean_of(each, mask, counts, PAIRS, figure)


class Quantized(NamedTuple):
    """Tokens after the codebook."""

    latents: Float[Tensor, "b n k d"]
    """Codebook rows (tokens while warming up), with gradients straight through to the tokens."""
    codes: Int[Tensor, "b n k"]
    loss: Float[Tensor, ""]


class Quantizer(nn.Module):
    """Nearest row by squared distance, in float32.

    All state of the schedule is a buffer, so a resumed run continues exactly. What the parts of a step show of tokens
    and codes is put together by `end_step`, over ranks too: so the schedule does not depend on how a batch is divided.
    """

    started: Tensor
    usage: Tensor
    recent: Tensor
    num_seen: Tensor
    step_rows: Tensor
    step_chosen: Tensor
    step_pairs: Tensor

    def __init__(self, config: LamConfig) -> None:
        super().__init__()
        self.num_codes, self.commitment = config.num_codes, config.commitment
        self.warmup_fraction, self.revive_below = config.warmup_fraction, config.revive_below
        self.embedding = nn.Embedding(config.num_codes, config.latent_dim)
        nn.init.uniform_(self.embedding.weight, -1 / config.num_codes, 1 / config.num_codes)
        self.register_buffer("started", torch.tensor(config.warmup_fraction == 0))
        self.register_buffer("usage", torch.full((config.num_slots, config.num_codes), 1 / config.num_codes))
        self.register_buffer("recent", torch.zeros(RECENT_TOKENS, config.latent_dim))
        self.register_buffer("num_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("step_rows", torch.zeros(ROWS_OF_STEP, config.latent_dim), persistent=False)
        self.register_buffer("step_chosen", torch.zeros(config.num_slots, config.num_codes), persistent=False)
        self.register_buffer("step_pairs", torch.zeros(()), persistent=False)
        self._num_rows = 0

    def nearest(self, tokens: Float[Tensor, "*b d"]) -> Int[Tensor, "*b"]:
        """Return the index of the nearest code."""
        codebook = self.embedding.weight.float()
        rows = tokens.float().flatten(0, -2)
        # |z|^2 is the same for every code and is left out
        distance = codebook.square().sum(1) - 2 * rows @ codebook.T
        return distance.argmin(dim=1).view(tokens.shape[:-1])

    def lookup(self, codes: Int[Tensor, "*b"]) -> Float[Tensor, "*b d"]:
        """Return the codebook's rows."""
        return self.embedding(codes).float()

    def forward(
        self,
        tokens: Float[Tensor, "b n k d"],
        mask: Bool[Tensor, "b n"] | None = None,
        counts: Counts | None = None,
        random: Random = None,
    ) -> Quantized:
        """Quantise, or pass the tokens through while the codebook has not started.

        Where `mask` is false the episode had ended: that pair has no loss and no statistics. `random` and `counts` are
        those of a part, where the batch is one of several.
        """
        if mask is None:
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        tokens = tokens.float()
        codes = self.nearest(tokens)
        rows = self.lookup(codes)
        commitment = masked_mean((tokens - rows.detach()).square(), mask, counts, COMMITMENT)
        codebook = masked_mean((rows - tokens.detach()).square(), mask, counts, CODEBOOK)
        if self.training:
            self._see(tokens.detach(), codes, mask, random)
        # a choice on the device: no wait for it, no second graph to compile
        latents = torch.where(self.started, tokens + (rows - tokens).detach(), tokens)
        return Quantized(latents, codes, self.loss_of(commitment, codebook))

    def loss_of(self, commitment: Float[Tensor, ""], codebook: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Weigh both distances between tokens and their codes; 0 before the codebook starts."""
        loss = self.commitment * commitment + codebook
        return torch.where(self.started, loss, 0.0 * loss)

    @torch.no_grad()
    def _see(
        self, tokens: Float[Tensor, "b n k d"], codes: Int[Tensor, "b n k"], mask: Bool[Tensor, "b n"], random: Random
    ) -> None:
        """Note what a part shows, tokens at the rows that they have in the whole batch."""
        first, num_all = (random.first, random.num_all) if isinstance(random, Draws) else (0, len(tokens))
        self.step_chosen += self._chosen(codes, mask)
        self.step_pairs += mask.sum()
        # A pair that does not exist is replaced by the clip's first: selecting would wait for the device.
        rows = torch.where(mask[:, :, None, None], tokens, tokens[:, :1]).flatten(0, 2)
        each = tokens.shape[1] * tokens.shape[2]
        stride = math.ceil(num_all * each / ROWS_OF_STEP)
        skipped = -first * each % stride
        kept = rows[skipped::stride]
        start = (first * each + skipped) // stride
        self.step_rows[start : start + len(kept)] = kept
        self._num_rows = math.ceil(num_all * each / stride)

    @torch.no_grad()
    def end_step(self, add_up: Callable[[Tensor], object] = lambda tensor: None) -> None:
        """Take up what the parts of a step showed; `add_up` adds to a tensor, in place, those of the other ranks."""
        if not self._num_rows:
            return
        seen = (self.step_rows, self.step_chosen, self.step_pairs)
        together = torch.cat([one.flatten() for one in seen])
        add_up(together)
        parts = together.split([one.numel() for one in seen])
        rows, chosen, pairs = (part.view_as(one) for part, one in zip(parts, seen, strict=True))
        self.usage.lerp_(chosen / pairs.clamp(min=1), 1 - USAGE_DECAY)
        where = (self.num_seen + torch.arange(self._num_rows, device=self.recent.device)) % RECENT_TOKENS
        self.recent.index_copy_(0, where, rows[: self._num_rows])
        self.num_seen += self._num_rows
        for one in seen:
            one.zero_()
        self._num_rows = 0

    def usage_of(self, codes: Int[Tensor, "b n k"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "k codes"]:
        """Return how often each slot chose each code, as shares."""
        return self._chosen(codes, mask) / mask.sum().clamp(min=1)

    def _chosen(self, codes: Int[Tensor, "b n k"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "k codes"]:
        """Count how often each slot chose each code."""
        # not F.one_hot: it looks at the codes, for which the host waits on some devices
        chosen = (codes[..., None] == torch.arange(self.num_codes, device=codes.device)) * mask[
            :, :, None, None
        ].float()
        return chosen.sum(dim=(0, 1))

    @torch.no_grad()
    def begin_step(self, step: int, num_steps: int) -> bool:
        """Start the codebook when the warm-up is over, revive dead codes; return True if codes moved."""
        self.end_step()
        warmup = math.ceil(self.warmup_fraction * num_steps)
        if step < warmup or (step != warmup and step % CHECK_EVERY) or not self.num_seen:
            return False
        generator = Generator().manual_seed(step)  # the same draw on every rank and after a resume
        if not self.started:
            rows = self.recent[: int(self.num_seen.clamp(max=RECENT_TOKENS))].cpu()
            self.embedding.weight.copy_(kmeans(rows, self.num_codes, generator))
            self.usage.fill_(1 / self.num_codes)
            self.started.fill_(True)
            return True
        return self._revive(generator) if self.revive_below else False

    def _revive(self, generator: Generator) -> bool:
        dead = self.usage.mean(dim=0) < self.revive_below / self.num_codes
        if not dead.any():
            return False
        num_rows = int(self.num_seen.clamp(max=RECENT_TOKENS))
        chosen = torch.randint(num_rows, (self.num_codes,), generator=generator).to(self.recent.device)
        self.embedding.weight[dead] = self.recent[chosen][dead].to(self.embedding.weight.dtype)
        self.usage[:, dead] = 1 / self.num_codes  # until it has been used or not
        return True


def kmeans(rows: Float[Tensor, "n d"], num_codes: int, generator: Generator) -> Float[Tensor, "codes d"]:
    """Cluster by k-means, started by k-means++ (Arthur and Vassilvitskii 2007); an empty cluster keeps its centre."""
    centres = rows[torch.randint(len(rows), (1,), generator=generator)]
    while len(centres) < num_codes:
        distance = torch.cdist(rows, centres).min(dim=1).values.square() + 1e-12
        centres = torch.cat([centres, rows[torch.multinomial(distance, 1, generator=generator)]])
    for _ in range(KMEANS_ROUNDS):
        member = F.one_hot(torch.cdist(rows, centres).argmin(dim=1), num_codes).to(rows.dtype)
        count = member.sum(dim=0)[:, None]
        centres = torch.where(count > 0, member.T @ rows / count.clamp(min=1), centres)
    return centres
