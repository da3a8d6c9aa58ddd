"""What pairs tell: each is one start that two policies played, solved by both, by neither, or by one alone.

While pairs come in, the e-process on those that one policy alone solves (arXiv:2603.13616, arXiv:2210.01948): the mean
over bets l = 0.05 ... 0.95 of (1 + l)^b (1 - l)^c, for both directions, b and c the starts that B and A alone solved.
Where the policies are equal it begins at 1 and is at most a martingale, never negative, so that it ever reaches 1/level
with a probability of at most level (Ville), however often one looks. Afterwards, with a number of pairs that was fixed
beforehand, McNemar's exact test and Newcombe's interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.evaluation.results import wilson

BETS = np.arange(1, 20) / 20
GRID = np.linspace(-1.0, 1.0, 401)
"""Differences that a confidence sequence tries, in steps of half a point."""


@dataclass(frozen=True)
class Pairs:
    """How often what happened."""

    both: int = 0
    a_alone: int = 0
    b_alone: int = 0
    neither: int = 0

    @classmethod
    def count(cls, outcomes: Sequence[tuple[bool, bool]]) -> "Pairs":
        """Count what A and B made of the same starts."""
        return cls(*(outcomes.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def num(self) -> int:
        """Starts."""
        return self.both + self.a_alone + self.b_alone + self.neither

    @property
    def a(self) -> int:
        """Starts that A solved."""
        return self.both + self.a_alone

    @property
    def b(self) -> int:
        """Starts that B solved."""
        return self.both + self.b_alone

    @property
    def difference(self) -> float:
        """Rate of B less that of A."""
        return (self.b_alone - self.a_alone) / self.num if self.num else 0.0

    def with_one(self, *, a: bool, b: bool) -> "Pairs":
        """Count one more."""
        kind = {(True, True): "both", (True, False): "a_alone", (False, True): "b_alone", (False, False): "neither"}
        return replace(self, **{kind[a, b]: getattr(self, kind[a, b]) + 1})


def log_e_value(pairs: Pairs) -> float:
    """Give the logarithm of the evidence that A and B differ."""
    up, down = np.log1p(BETS), np.log1p(-BETS)
    for_b = np.logaddexp.reduce(pairs.b_alone * up + pairs.a_alone * down)
    for_a = np.logaddexp.reduce(pairs.a_alone * up + pairs.b_alone * down)
    return float(np.logaddexp(for_b, for_a) - np.log(2 * len(BETS)))


def any_time_interval(pairs: Pairs, level: float) -> tuple[float, float]:
    """Bound the difference, with confidence 1 - level at all times together: what no bet against it refutes."""
    one_less, none, one_more = (d - GRID[:, None] for d in (-1.0, 0.0, 1.0))
    evidence = []
    for side in (1.0, -1.0):
        bets = side * BETS / (1.0 + side * GRID[:, None] + 1e-9)  # wealth stays positive whatever comes
        wealth = pairs.b_alone * np.log1p(bets * one_more) + pairs.a_alone * np.log1p(bets * one_less)
        evidence.append(wealth + (pairs.both + pairs.neither) * np.log1p(bets * none))
    total = np.logaddexp.reduce(np.concatenate(evidence, axis=1), axis=1) - np.log(2 * len(BETS))
    held = GRID[total < -np.log(level)]
    return (float(held.min()), float(held.max())) if len(held) else (pairs.difference, pairs.difference)


@dataclass
class Sequential:
    """Looks after every pair, and says when it is decided."""

    level: float
    """Probability, at most, of finding a difference where there is none."""
    min_difference: float = 0.0
    """Differences below this are none; 0 never ends with `equal`."""
    family: int = 1
    """How many comparisons are made with this level together."""
    pairs: Pairs = field(default_factory=Pairs)
    log_e_values: list[float] = field(default_factory=list)
    """After each pair."""
    verdict: str = ""
    """`A`, `B` or `equal`; empty as long as it is open."""

    def add(self, *, a: bool, b: bool) -> None:
        """Take one more pair."""
        self.pairs = self.pairs.with_one(a=a, b=b)
        self.log_e_values.append(log_e_value(self.pairs))
        if self.log_e_values[-1] >= np.log(self.family / self.level):
            self.verdict = "B" if self.pairs.b_alone > self.pairs.a_alone else "A"
        elif self.min_difference:
            low, high = self.interval
            self.verdict = "equal" if -self.min_difference < low and high < self.min_difference else ""

    @property
    def interval(self) -> tuple[float, float]:
        """Bound the difference, with confidence at whatever time one stops."""
        return any_time_interval(self.pairs, self.level / self.family)

    @property
    def p_value(self) -> float:
        """Give a p-value that holds at any time."""
        return float(min(1.0, np.exp(-max(self.log_e_values, default=0.0))))


def newcombe(pairs: Pairs, level: float = 0.05) -> tuple[float, float]:
    """Bound the difference of two rates of the same starts (Newcombe 1998, method 10); for a fixed number of pairs."""
    if not pairs.num:
        return -1.0, 1.0
    n, (a, b) = pairs.num, (pairs.a / pairs.num, pairs.b / pairs.num)
    (a_low, a_high), (b_low, b_high) = (wilson(k, n, 1 - level) for k in (pairs.a, pairs.b))
    spread = pairs.a * (n - pairs.a) * pairs.b * (n - pairs.b)
    phi = (pairs.both * pairs.neither - pairs.a_alone * pairs.b_alone) / spread**0.5 if spread else 0.0

    def root(first: float, second: float) -> float:
        return float(max(first**2 - 2 * phi * first * second + second**2, 0.0) ** 0.5)

    return pairs.difference - root(b - b_low, a_high - a), pairs.difference + root(b_high - b, a - a_low)


def mcnemar(pairs: Pairs) -> float:
    """Give the p-value of McNemar's exact test, for a number of pairs that was fixed beforehand."""
    from scipy.stats import binomtest  # here: half a second

    discordant = pairs.a_alone + pairs.b_alone
    return float(binomtest(pairs.b_alone, discordant).pvalue) if discordant else 1.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values for their number (Holm 1979): what stays below a level errs once in all with that probability."""
    adjusted, largest = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - i) * p))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
