"""How much of the robot's action do latent actions know? Small networks read it back, on episodes kept apart.

A frozen latent action goes in, all K normalised actions between its two frames come out. Beside each error stand what
the training median reaches (knowing nothing) and what the same network reads from the true change of state.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

from dataengine import stats
from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.normalize import Normalizer
from dataengine.progress import task
from dataengine.report import Report
from dataengine.store import Corpus
from pipelines.probe_latents import Judged, find_models, read_latents
from pipelines.probe_pairs import Floats, Numbers, Split, choose, read_numbers, robot_episodes
from pipelines.text_table import text_table

BIN = 0.05
"""Width of the bins of largest errors (villa-X, figure 4); the last bin holds everything beyond 1."""
NUM_BINS = 20
SMALL_ERROR = 0.5
"""A pair whose largest error over steps and dimensions stays below this is read well."""
MEDIAN, TRUE_CHANGE = "training median", "true state change"
ARM_WIDTH = 7
GROUPS: Mapping[str, tuple[int, ...]] = {"xyz": (0, 1, 2), "rpy": (3, 4, 5), "gripper": (6,)}


class ProbeConfig(Config):
    """What to probe, and how hard."""

    corpus: str
    """Directory or object-store URI; it needs `villa stats`."""
    lams: list[Annotated[str, BeforeValidator(str)]] = Field(min_length=1)
    """Directories of models, or names of labels in the corpus; later ones are compared with the first."""
    slot: str = "primary"
    """Camera, for models whose labels are not in the corpus."""
    held_out: float = Field(0.1, gt=0, lt=1)
    """Share of episodes kept apart, chosen by a hash of their ids as in training."""
    seeds: int = Field(2, ge=1)
    """Probes for each latent action model; they differ in weights and order."""
    epochs: int = Field(25, ge=1)
    hidden: int = Field(256, ge=8)
    most_train: int = Field(1400, ge=1)
    """Most training pairs of one embodiment."""
    most_held_out: int = Field(350, ge=1)
    threads: int = Field(2, ge=1)
    """Threads that decode, for models whose labels are not in the corpus."""
    device: str = "cpu"
    """Where such models run."""


class Readout(Report):
    """How well one input tells the actions, on held-out episodes; errors in normalised units."""

    source: str
    """A latent action model, or one of the two yardsticks."""
    l1: float
    """Mean absolute error over steps and dimensions, averaged over seeds."""
    l1_seeds: list[float]
    l1_spread: float
    """Standard deviation over seeds."""
    groups: dict[str, float]
    """Mean absolute error of xyz, rpy and gripper, where the arm has them."""
    small_errors: float
    """Share of pairs whose largest error is below 0.5."""
    histogram: list[float]
    """Share of pairs by largest error, in bins of 0.05; the last holds all above 1."""


class EmbodimentReadouts(Report):
    """All readouts on one robot body."""

    embodiment: str
    steps: int
    """Control steps K that one latent action spans."""
    dims: int
    """Action dimensions that vary."""
    train_episodes: int
    held_out_episodes: int
    train_pairs: int
    held_out_pairs: int
    readouts: list[Readout]


class Comparison(Report):
    """One model against the first: relative change of the error, seed by seed; negative is better."""

    lam: str
    versus: str
    embodiment: str
    """`mean` for the mean over embodiments."""
    change: float
    change_seeds: list[float]
    groups: dict[str, float]


class ProbeReport(Report):
    """What the probes read."""

    corpus: str
    lams: list[str]
    interval_s: float
    seeds: int
    epochs: int
    embodiments: list[EmbodimentReadouts]
    comparisons: list[Comparison] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    """Embodiments left out or judged on episodes that the models may have seen, and why."""
    seconds: float

    def summary(self) -> str:
        """Print a row per embodiment and readout, then the comparisons."""
        names = [name for name in GROUPS if any(name in r.groups for e in self.embodiments for r in e.readouts)]
        rows = [
            [e.embodiment, r.source, f"{r.l1:.3f} +- {r.l1_spread:.3f}"]
            + [f"{r.groups[g]:.3f}" if g in r.groups else "-" for g in names]
            + [f"{r.small_errors:.1%}"]
            for e in self.embodiments
            for r in e.readouts
        ]
        lines = [text_table(["embodiment", "read from", "L1", *names, "max error < 0.5"], rows)]
        for c in self.comparisons:
            seeds = ", ".join(f"{x:+.1%}" for x in c.change_seeds)
            lines.append(f"{c.lam} against {c.versus}, {c.embodiment}: {c.change:+.1%} (seeds {seeds})")
        return "\n".join([*lines, *self.notes, f"{self.seconds:.1f} s"])


def run(config: ProbeConfig) -> ProbeReport:
    """Fit probes for every model on every embodiment."""
    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    models = find_models(corpus, config.lams, config.slot, config.device)
    measured = corpus.stats()
    if measured is None:
        raise DataEngineError(f"{config.corpus} has no statistics; run `villa stats {config.corpus}` first")
    normalizer = Normalizer(stats.by_embodiment(stats.from_table(measured)))
    splits = choose(
        robot_episodes(corpus),
        models[0].interval_s,
        held_out=config.held_out,
        most_train=config.most_train,
        most_held_out=config.most_held_out,
    )
    usable = [split for split in splits if not split.lacks]
    if not usable:
        why = "; ".join(f"{s.train.embodiment}: {s.lacks}" for s in splits) or "no robot episodes long enough"
        raise DataEngineError(f"{config.corpus}: nothing to probe on ({why}); ingest more episodes or raise held_out")
    with task("probe", len(usable) * (len(models) + 1), "models x embodiments") as live:
        found = [_probe(config, corpus, normalizer, models, split, live.advance) for split in usable]
    return ProbeReport(
        corpus=config.corpus,
        lams=[m.title for m in models],
        interval_s=models[0].interval_s,
        seeds=config.seeds,
        epochs=config.epochs,
        embodiments=found,
        comparisons=[c for m in models[1:] for c in compare(found, m.title, models[0].title)],
        notes=[note for split in splits for note in _notes(split)],
        seconds=round(time.monotonic() - start, 3),
    )


def _notes(split: Split) -> list[str]:
    if split.lacks:
        return [f"{split.train.embodiment} left out: {split.lacks}"]
    if split.borrowed:
        held_out = f"no episode is held out from training, so {split.borrowed} were kept from the probe alone"
        return [f"{split.train.embodiment}: {held_out}"]
    return []


def _probe(
    config: ProbeConfig,
    corpus: Corpus,
    normalizer: Normalizer,
    models: Sequence[Judged],
    split: Split,
    advance: Callable[[], None],
) -> EmbodimentReadouts:
    """Fit every readout on one embodiment, all on the same pairs."""
    train, test = (read_numbers(corpus, picks, normalizer) for picks in (split.train, split.test))
    inputs: dict[str, tuple[Floats, Floats]] = {TRUE_CHANGE: (train.state_change, test.state_change)}
    fine = [np.ones(len(numbers.actions), dtype=bool) for numbers in (train, test)]
    for model in models:
        sides = [read_latents(corpus, model, p, config.threads, config.device) for p in (split.train, split.test)]
        inputs[model.title] = (sides[0][0], sides[1][0])
        fine = [mask & readable for mask, (_, readable) in zip(fine, sides, strict=True)]
    y_train, y_test = train.actions[fine[0]], test.actions[fine[1]]
    if not len(y_train) or not len(y_test):
        raise DataEngineError(f"{config.corpus}: no picture of embodiment '{split.train.embodiment}' can be decoded")

    trivial = np.median(y_train, axis=0) - y_test
    readouts = {MEDIAN: judge(MEDIAN, [trivial], train)}
    for source, (x_train, x_test) in inputs.items():
        errors = [
            _fit(x_train[fine[0]], y_train, x_test[fine[1]], seed, config) - y_test for seed in range(config.seeds)
        ]
        readouts[source] = judge(source, errors, train)
        advance()
    return EmbodimentReadouts(
        embodiment=split.train.embodiment,
        steps=split.train.stride,
        dims=len(train.action_dims),
        train_episodes=len(split.train.episodes),
        held_out_episodes=len(split.test.episodes),
        train_pairs=len(y_train),
        held_out_pairs=len(y_test),
        readouts=[readouts[name] for name in (MEDIAN, *(m.title for m in models), TRUE_CHANGE)],
    )


def _fit(x_train: Floats, y_train: Floats, x_test: Floats, seed: int, config: ProbeConfig) -> Floats:
    """Fit one probe and predict the held-out actions (n, K, a)."""
    import torch

    from models.probe import fit_probe

    x, y = torch.from_numpy(x_train).float(), torch.from_numpy(y_train).flatten(1)
    generator = torch.Generator().manual_seed(seed)
    probe = fit_probe(x, y, generator, hidden=config.hidden, epochs=config.epochs)
    with torch.no_grad():
        return probe(torch.from_numpy(x_test).float()).numpy().reshape(len(x_test), *y_train.shape[1:])


def judge(source: str, errors: Sequence[Floats], numbers: Numbers) -> Readout:
    """Sum up signed errors (n, K, a) of one array per seed."""
    sizes = np.abs(np.stack(errors))  # (seeds, n, K, a)
    largest = sizes.max(axis=(2, 3))
    counts = np.bincount(np.minimum(largest / BIN, NUM_BINS).astype(int).ravel(), minlength=NUM_BINS + 1)
    seeds = sizes.mean(axis=(1, 2, 3))
    groups = {}
    for name, places in GROUPS.items() if numbers.canonical else ():
        mine = np.isin(numbers.action_dims % ARM_WIDTH, places)
        if mine.any():
            groups[name] = _round(sizes[..., mine].mean())
    return Readout(
        source=source,
        l1=_round(seeds.mean()),
        l1_seeds=[_round(x) for x in seeds],
        l1_spread=_round(seeds.std()),
        groups=groups,
        small_errors=_round((largest < SMALL_ERROR).mean()),
        histogram=[_round(x) for x in counts / counts.sum()],
    )


def compare(found: Sequence[EmbodimentReadouts], lam: str, versus: str) -> list[Comparison]:
    """Relative change of one model's errors against another's, by embodiment and in the mean over embodiments."""
    pairs = [tuple(next(r for r in e.readouts if r.source == name) for name in (lam, versus)) for e in found]
    out = []
    for e, (one, other) in zip(found, pairs, strict=True):
        out.append(_compare(e.embodiment, one, other))
    if len(pairs) > 1:
        means = [_mean([pair[side] for pair in pairs]) for side in (0, 1)]
        out.append(_compare("mean", means[0], means[1]))
    return out


def _mean(readouts: Sequence[Readout]) -> Readout:
    """Average over embodiments, each weighing the same; groups only where all have them."""
    shared = set.intersection(*(set(r.groups) for r in readouts))
    return Readout(
        source=readouts[0].source,
        l1=float(np.mean([r.l1 for r in readouts])),
        l1_seeds=[float(x) for x in np.mean([r.l1_seeds for r in readouts], axis=0)],
        l1_spread=float(np.mean([r.l1_seeds for r in readouts], axis=0).std()),
        groups={g: float(np.mean([r.groups[g] for r in readouts])) for g in GROUPS if g in shared},
        small_errors=float(np.mean([r.small_errors for r in readouts])),
        histogram=[float(x) for x in np.mean([r.histogram for r in readouts], axis=0)],
    )


def _compare(embodiment: str, one: Readout, other: Readout) -> Comparison:
    return Comparison(
        lam=one.source,
        versus=other.source,
        embodiment=embodiment,
        change=_round(one.l1 / max(other.l1, 1e-9) - 1),
        change_seeds=[_round(a / max(b, 1e-9) - 1) for a, b in zip(one.l1_seeds, other.l1_seeds, strict=True)],
        groups={g: _round(one.groups[g] / max(other.groups[g], 1e-9) - 1) for g in one.groups if g in other.groups},
    )


def _round(x: float) -> float:
    return round(float(x), 5)
