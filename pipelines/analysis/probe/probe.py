"""How much of the robot's action do latent actions know? Small networks read it back, on episodes kept apart.

A frozen latent action goes in, all K normalised actions between its two frames come out. Beside each error stand what
the training median reaches (knowing nothing) and what the same network reads from the true change of state.
"""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from dataengine.config import MOST, MOST_WORKERS, Config
from dataengine.errors import DataEngineError
from dataengine.progress import task
from dataengine.store import Corpus
from dataengine.store.kept import lacks
from dataengine.windows import stats, stats_table
from dataengine.windows.normalize import Normalizer
from pipelines.analysis.latents import read_latents
from pipelines.analysis.pairs import Floats, Split, choose, read_numbers, robots
from pipelines.analysis.probe.measures import compare, score
from pipelines.analysis.probe.report import EmbodimentReadouts, ProbeReport
from pipelines.analysis.probe.targets import hand_lacks, quaternion_actions, quaternion_groups
from pipelines.analysis.probe.variants import MEDIAN, TRUE_CHANGE, Variant, find_variants, held_out_notes
from pipelines.output.folder import claimed, roots_of


class ProbeConfig(Config):
    """What to probe, and how hard."""

    renamed = MappingProxyType({"held_out": "val_fraction"})

    corpus: str
    """Directory or object-store URI; it needs `villa stats`."""
    lams: list[Annotated[str, BeforeValidator(str)]] = Field(min_length=1)
    """Directories of models, or names of labels in the corpus; `TITLE=DIRECTORY` more than once names the seeds of one
    variant. Later models or variants are compared with the first."""
    out: Path | None = None
    """Folder for `index.html`, its charts and `report.json`; by default none is written."""
    slot: str = "primary"
    """Camera, for models whose labels are not in the corpus."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of episodes kept apart, chosen by a hash of their ids as in training."""
    rotation: Literal["rpy", "quaternion"] = "rpy"
    """How a turn of a hand is read: as roll, pitch and yaw, or as a quaternion (villa-X, section 4.1: eight values of a
    hand)."""
    num_actions: int = Field(0, ge=0, le=MOST)
    """How many of the K actions between two frames are read, the first ones; 0 for all of them, 1 as in villa-X."""
    seeds: int = Field(2, ge=1, le=10_000)
    """Probes for each latent action model; they differ in weights and order of the pairs."""
    epochs: int = Field(25, ge=1, le=1_000_000)
    """Passes of a probe over its training pairs."""
    hidden: int = Field(256, ge=8, le=65_536)
    """Hidden width of a probe."""
    most_train: int = Field(1400, ge=1, le=MOST)
    """Most training pairs of one embodiment."""
    most_held_out: int = Field(350, ge=1, le=MOST)
    """Most held-out pairs of one embodiment."""
    threads: int = Field(2, ge=1, le=MOST_WORKERS)
    """Threads that decode, for models whose labels are not in the corpus."""
    device: str = "cpu"
    """Where such models run."""


def run(config: ProbeConfig) -> ProbeReport:
    """Fit probes for every model on every embodiment."""
    from pipelines.analysis.probe.page import OLD_PAGE, write_page

    corpus = Corpus.open(config.corpus)
    if config.out is None:
        return _run(config, corpus)
    sources = roots_of(corpus)
    with claimed(config.out, "probe", before=OLD_PAGE, sources=sources) as out:
        out.claim("index.html", "report.json")
        report = _run(config, corpus)
        write_page(out, report)
    return report


def _run(config: ProbeConfig, corpus: Corpus) -> ProbeReport:
    """Find models and pairs, fit and score."""
    start = time.monotonic()
    from pipelines.device import pick_device

    variants, notes = find_variants(corpus, config.lams, config.slot, str(pick_device(config.device)))
    interval_s = variants[0].members[0].model.interval_s
    measured = corpus.stats()
    if measured is None:
        raise DataEngineError(f"{config.corpus} has no statistics; run `villa stats {config.corpus}` first")
    normalizer = Normalizer(stats.by_embodiment(stats_table.from_table(measured)))
    slots = {member.model.slot for variant in variants for member in variant.members}
    asked = robots(corpus, slots)
    episodes = asked.episodes(trimmed=False, with_texts=False)
    cameras = ", ".join(f"'{slot}'" for slot in sorted(slots))
    blind = sum(asked.left_out.get(lacks(f"camera {slot}"), 0) for slot in slots)
    if blind:
        notes = [*notes, f"{blind} kept robot episodes without camera {cameras} are left out"]
    if not episodes:
        raise DataEngineError(
            f"{config.corpus}: no kept robot episode has states, actions and camera {cameras}; "
            f"`villa corpus info {config.corpus}` lists cameras, --set slot=NAME takes another"
        )
    splits = choose(
        episodes,
        interval_s,
        held_out=config.val_fraction,
        most_train=config.most_train,
        most_held_out=config.most_held_out,
    )
    handless = _handless(config, corpus, splits)
    usable = [split for split in splits if not split.lacks and split.train.embodiment not in handless]
    if not usable:
        whys = [f"{s.train.embodiment}: {s.lacks or handless[s.train.embodiment]}" for s in splits]
        why = "; ".join(whys) or "no robot episodes long enough"
        raise DataEngineError(f"{config.corpus}: nothing to probe on ({why}); ingest more episodes or raise held_out")
    num_models = sum(len(variant.members) for variant in variants)
    with task("probe", len(usable) * (num_models + 1), "models x embodiments") as live:
        results = [_probe(config, corpus, normalizer, variants, split, live.advance) for split in usable]
    unseen = {e.embodiment for e in results if len(e.unseen_by) == len(variants)}
    return ProbeReport(
        corpus=config.corpus,
        lams=[variant.title for variant in variants],
        training_seeds=len(variants[0].members),
        interval_s=interval_s,
        seeds=config.seeds,
        epochs=config.epochs,
        embodiments=results,
        comparisons=[c for variant in variants[1:] for c in compare(results, variant.title, variants[0].title)],
        notes=[
            *(note for split in splits for note in _notes(split, unseen)),
            *(f"{name} left out: {why}" for name, why in handless.items()),
            *notes,
            *held_out_notes(variants, config.val_fraction),
        ],
        page=str(config.out / "index.html") if config.out else "",
        seconds=round(time.monotonic() - start, 3),
    )


def _handless(config: ProbeConfig, corpus: Corpus, splits: Sequence[Split]) -> dict[str, str]:
    """Name the embodiments of which no quaternion can be read, and why."""
    if config.rotation == "rpy":
        return {}
    reasons = {split.train.embodiment: hand_lacks(corpus, split.train) for split in splits if not split.lacks}
    return {name: why for name, why in reasons.items() if why}


def _notes(split: Split, unseen: Collection[str] = ()) -> list[str]:
    """Say why an embodiment is left out, or what its models may know of the episodes that they are evaluated on."""
    if split.lacks:
        return [f"{split.train.embodiment} left out: {split.lacks}"]
    if split.borrowed and split.train.embodiment not in unseen:
        held_out = f"no episode is held out from training, so {split.borrowed} were kept from the probe alone"
        return [f"{split.train.embodiment}: {held_out}"]
    return []


def _probe(
    config: ProbeConfig,
    corpus: Corpus,
    normalizer: Normalizer,
    variants: Sequence[Variant],
    split: Split,
    advance: Callable[[], None],
) -> EmbodimentReadouts:
    """Fit every readout on one embodiment, all on the same pairs."""
    form = None if config.rotation == "rpy" else (quaternion_actions, quaternion_groups)
    train, test = (
        read_numbers(corpus, picks, normalizer, num_actions=config.num_actions, form=form)
        for picks in (split.train, split.test)
    )
    inputs: dict[str, list[tuple[Floats, Floats]]] = {TRUE_CHANGE: [(train.state_change, test.state_change)]}
    fine = [np.ones(len(numbers.actions), dtype=bool) for numbers in (train, test)]
    for variant in variants:
        for member in variant.members:
            sides = [read_latents(corpus, member.model, p, config.threads) for p in (split.train, split.test)]
            inputs.setdefault(variant.title, []).append((sides[0][0], sides[1][0]))
            fine = [mask & readable for mask, (_, readable) in zip(fine, sides, strict=True)]
    y_train, y_test = train.actions[fine[0]], test.actions[fine[1]]
    if not len(y_train) or not len(y_test):
        raise DataEngineError(f"{config.corpus}: no picture of embodiment '{split.train.embodiment}' can be decoded")

    trivial = np.median(y_train, axis=0) - y_test
    readouts = {MEDIAN: score(MEDIAN, [[trivial]], train)}
    names = {variant.title: variant.names for variant in variants}
    for source, sides_of_models in inputs.items():
        errors = []
        for x_train, x_test in sides_of_models:
            x = x_train[fine[0]], x_test[fine[1]]
            errors.append([_fit(x[0], y_train, x[1], seed, config) - y_test for seed in range(config.seeds)])
            advance()
        readouts[source] = score(source, errors, train, names.get(source, ()))
    datasets = frozenset(e.dataset for side in (split.train, split.test) for e in side.episodes)
    saw = {variant.title: variant.saw(datasets, split.train.embodiment) for variant in variants}
    return EmbodimentReadouts(
        datasets=sorted(datasets),
        unseen_by=[title for title, seen in saw.items() if seen is False],
        unknown_to=[title for title, seen in saw.items() if seen is None],
        embodiment=split.train.embodiment,
        steps=split.train.stride,
        dims=len(train.action_dims),
        train_episodes=len(split.train.episodes),
        held_out_episodes=len(split.test.episodes),
        train_pairs=len(y_train),
        held_out_pairs=len(y_test),
        readouts=[readouts[name] for name in (MEDIAN, *names, TRUE_CHANGE)],
    )


def _fit(x_train: Floats, y_train: Floats, x_test: Floats, seed: int, config: ProbeConfig) -> Floats:
    """Fit one probe and predict the held-out actions (n, K, a)."""
    import torch

    from models.probe import fit_probe

    x, y = torch.from_numpy(x_train).float(), torch.from_numpy(y_train).flatten(1)
    generator, threads = torch.Generator().manual_seed(seed), torch.get_num_threads()
    torch.set_num_threads(1)  # a step takes under a millisecond: threads spend more on one another than on it
    try:
        probe = fit_probe(x, y, generator, hidden=config.hidden, epochs=config.epochs)
        with torch.no_grad():
            return probe(torch.from_numpy(x_test).float()).numpy().reshape(len(x_test), *y_train.shape[1:])
    finally:
        torch.set_num_threads(threads)
