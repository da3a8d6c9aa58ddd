"""Is the codebook in use, and do latents carry anything? What the logged figures say, and which settings mend it.

Only figures of metrics.jsonl are read, so that a resumed run, or anyone with that file, comes to the same words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dataengine.report import Report
from models.lam import LamConfig
from pipelines.training import presets

SWAP_COST = "swap_cost"
"""Visual error with the latents of other pairs over that with their own: 1 where latents carry nothing."""

SETTLE_STEPS = 100
"""Between the end of both warm-ups and the first figures that count."""
LOW_ENTROPY, WELL_ENTROPY = 0.4, 0.46
"""Of the most that a slot can have: perplexity 4 and 5 of 32 codes. In between nothing is said."""
LOW_COST, WELL_COST = 1.03, 1.08
"""Latents that name the scene cost up to 2 % when they are swapped, those that carry motion 20 % and more."""
IN_A_ROW = 2
"""Entries that must agree."""

What = Literal["codebook", "latents"]

HELPFUL: dict[What, tuple[str, ...]] = {
    "codebook": ("revive_below", "warmup_fraction", "normalize_latents"),
    "latents": ("pooling", "query_std", "conditioning", "residual_output"),
}
"""Settings of preset tiny that mend it."""

OTHERWISE: dict[What, str] = {
    "codebook": "every setting known to help is on; left to try are fewer codes (model.num_codes) and a lower lr",
    "latents": "every setting known to help is on; left to try are more steps and longer spans (model.interval_s)",
}


class Condition(Report):
    """Something that went wrong with a latent action model while it was trained."""

    what: What
    since: int
    """Step."""
    words: str
    """What was seen, and which settings help."""
    healed: int | None = None
    """Step; none where it lasts."""


@dataclass
class _Streak:
    """Entries in a row that say the same."""

    bad: bool | None = None
    since: int = 0
    length: int = 0

    def add(self, step: int, bad: bool | None) -> None:
        if bad is not self.bad:
            self.bad, self.since, self.length = bad, step, 0
        self.length += 1


@dataclass
class CodebookHealth:
    """Takes one entry after another; speaks when a condition begins, and when it ends."""

    model: LamConfig
    steps: int
    num_pairs: int
    """In the batch of which codes are counted: a slot cannot use more codes than it names pairs."""
    lr_warmup_steps: int = 0
    conditions: list[Condition] = field(default_factory=list)
    _rows: dict[What, _Streak] = field(default_factory=dict)

    @property
    def active_from(self) -> int:
        """First step whose figures count."""
        return max(int(self.model.warmup_fraction * self.steps), self.lr_warmup_steps) + SETTLE_STEPS

    def update(self, step: int, figures: Mapping[str, float]) -> list[str]:
        """Take the figures logged at a step; return sentences, mostly none."""
        if step < self.active_from:
            return []
        return [sentence for what, bad in self._assess(figures) if (sentence := self._turn(what, bad, step, figures))]

    def _assess(self, figures: Mapping[str, float]) -> Iterator[tuple[What, bool | None]]:
        """Say of each condition whether it is there, or is not, or hangs between."""
        least = min(figures[f"perplexity_slot_{slot}"] for slot in range(self.model.num_slots))
        low, well = self._perplexity(LOW_ENTROPY), self._perplexity(WELL_ENTROPY)
        yield "codebook", True if least < low else False if least >= well else None
        if SWAP_COST in figures:
            cost = figures[SWAP_COST]
            yield "latents", True if cost < LOW_COST else False if cost >= WELL_COST else None

    def _perplexity(self, entropy: float) -> float:
        """Turn a share of the most entropy that a slot can have into a perplexity."""
        return float(min(self.model.num_codes, self.num_pairs) ** entropy)

    def _turn(self, what: What, bad: bool | None, step: int, figures: Mapping[str, float]) -> str:
        """Begin or end a condition once enough entries agree."""
        row = self._rows.setdefault(what, _Streak())
        row.add(step, bad)
        lasting = next((c for c in self.conditions if c.what == what and c.healed is None), None)
        if bad is None or row.length < IN_A_ROW or bad is (lasting is not None):
            return ""
        seen = self._codes(figures, bad) if what == "codebook" else _swaps(figures, bad)
        if lasting is None:
            sentence = f"{seen} since step {row.since}; {self._advice(what)}"
            self.conditions.append(Condition(what=what, since=row.since, words=sentence))
            return sentence
        index = self.conditions.index(lasting)
        self.conditions[index] = lasting.model_copy(update={"healed": row.since})
        return f"{seen} again since step {row.since}"

    def _codes(self, figures: Mapping[str, float], bad: bool) -> str:
        num_codes, slots = self.model.num_codes, range(self.model.num_slots)
        perplexity = {slot: figures[f"perplexity_slot_{slot}"] for slot in slots}
        if not bad:
            return f"every slot uses its codes (least perplexity {min(perplexity.values()):.1f} of {num_codes})"
        low = [slot for slot in slots if perplexity[slot] < self._perplexity(LOW_ENTROPY)]
        used = [figures[f"codes_slot_{slot}"] for slot in low]
        return (
            f"{'slots' if len(low) > 1 else 'slot'} {_join(low)} {'use' if len(low) > 1 else 'uses'} "
            f"{_join(f'{n:.0f}' for n in used)} of {num_codes} codes "
            f"(perplexity {_join(f'{perplexity[slot]:.1f}' for slot in low)})"
        )

    def _advice(self, what: What) -> str:
        """Name the settings in which this model falls short of preset tiny."""
        tiny = presets.model("train_lam", "tiny")
        helpful = {name: tiny[name] for name in HELPFUL[what]}
        ours = self.model.model_dump()
        missing = [f"--set model.{name}={_word(value)}" for name, value in helpful.items() if _short(ours[name], value)]
        return f"what helps, in another run: {' '.join(missing)}" if missing else OTHERWISE[what]


def _swaps(figures: Mapping[str, float], bad: bool) -> str:
    cost = f"swapping them costs {figures[SWAP_COST] - 1:.1%} of the visual error"
    copy = f"which is {figures['visual_over_copy']:.2f} of copying the frame"
    return f"latents carry {'next to nothing' if bad else 'something'} ({cost}, {copy})"


def _short(ours: Any, helpful: Any) -> bool:
    return ours != helpful if isinstance(helpful, str | bool) else ours < helpful


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _join(parts: Any) -> str:
    return ", ".join(map(str, parts))
