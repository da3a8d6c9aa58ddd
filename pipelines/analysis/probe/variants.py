"""Variants of a comparison: models that differ by the seed of their training alone, and what that training has seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.windows import labels
from pipelines.analysis.groups import Origin, origin
from pipelines.analysis.latents import CONFIG_NAME, LatentSource, find_models

MEDIAN, TRUE_CHANGE = "training median", "true state change"


@dataclass(frozen=True)
class Member:
    """One trained model of a variant."""

    model: LatentSource
    origin: Origin
    embodiments: frozenset[str] | None
    """Embodiments in the data that it was trained on; None where its files do not tell."""
    seed: int | None
    """Of its training, where its files tell."""

    def saw(self, datasets: frozenset[str], embodiment: str) -> bool | None:
        """Tell whether training saw an embodiment, which these datasets show; None if nobody knows."""
        if self.embodiments is not None and embodiment not in self.embodiments:
            return False
        if self.origin.datasets is None:
            return None
        return bool(self.origin.datasets & datasets)


@dataclass(frozen=True)
class Variant:
    """Models that are one thing, trained with several seeds."""

    title: str
    members: tuple[Member, ...]

    @property
    def names(self) -> list[str]:
        """What the models were called on the command line."""
        return [m.model.wish for m in self.members]

    @cached_property
    def seeds(self) -> list[int] | None:
        """Seeds of training; None unless all are known and differ."""
        known = [m.seed for m in self.members if m.seed is not None]
        return known if len(set(known)) == len(self.members) else None

    def saw(self, datasets: frozenset[str], embodiment: str) -> bool | None:
        """Tell whether the training of any model saw an embodiment; None if nobody knows."""
        answers = [m.saw(datasets, embodiment) for m in self.members]
        return True if any(answers) else None if None in answers else False


def find_variants(
    corpus: Corpus, wishes: Sequence[str], slot: str, device: str = "cpu"
) -> tuple[list[Variant], list[str]]:
    """Look up models and sort them into variants, seed beside seed; also say what may be wrong with the pairing."""
    known = labels.label_names(corpus.schema)
    given = [_named(wish, known) for wish in wishes]
    models = find_models(corpus, [folder for _, folder in given], slot, device)
    groups: dict[str, list[LatentSource]] = {}
    for (title, _), model in zip(given, models, strict=True):
        groups.setdefault(title or "", []).append(model)
    bare = groups.pop("", [])
    titles = [m.title if m.title not in groups else m.wish for m in bare]
    for title, model in zip(titles, bare, strict=True):
        if title in groups:
            raise DataEngineError(f"--lam {model.wish} is given twice; give each model once, or name it TITLE={title}")
        groups[title] = [model]
    for reserved in {MEDIAN, TRUE_CHANGE} & groups.keys():
        raise DataEngineError(f"--lam {reserved}=...: this is what a yardstick is called; choose another title")
    # in the order of the command line: the first variant is what the others are compared with
    order = list(dict.fromkeys(title or titles.pop(0) for title, _ in given))
    return _pair([_variant(corpus, title, groups[title]) for title in order])


def _named(wish: str, known: Sequence[str]) -> tuple[str | None, str]:
    """Split TITLE=FOLDER; a folder may hold a `=` of its own."""
    title, equals, folder = wish.partition("=")
    if not equals or "/" in title or wish in known or (Path(wish) / CONFIG_NAME).exists():
        return None, wish
    if not title.strip() or not folder:
        raise DataEngineError(f"--lam {wish}: expected FOLDER, or TITLE=FOLDER for one seed of a variant")
    return title.strip(), folder


def _variant(corpus: Corpus, title: str, models: Sequence[LatentSource]) -> Variant:
    weights: dict[str, str] = {}
    for model in models:
        if other := weights.get(model.fingerprint):
            raise DataEngineError(f"'{title}' has the same model twice ({other}, {model.wish}); give each seed once")
        weights[model.fingerprint] = model.wish
    return Variant(title, tuple(_member(corpus, model) for model in models))


def _member(corpus: Corpus, model: LatentSource) -> Member:
    """Read what a model says of its training."""
    from models.weights import read_config

    if model.directory is None:
        return Member(model, Origin(held_out=None, datasets=None), None, None)
    stated = read_config(model.directory)
    training, embodiments = stated.get("training") or {}, stated.get("statistics")
    return Member(
        model,
        origin(model.directory, corpus),
        frozenset(embodiments) if isinstance(embodiments, dict) else None,
        training.get("seed"),
    )


def _pair(variants: Sequence[Variant]) -> tuple[list[Variant], list[str]]:
    """Bring the models of all variants into one order of seeds."""
    counts = {variant.title: len(variant.members) for variant in variants}
    if len(set(counts.values())) > 1:
        numbers = ", ".join(f"{title} {count}" for title, count in counts.items())
        raise DataEngineError(
            f"variants of different numbers of models ({numbers}): seeds are compared in pairs; "
            f"give every variant as many"
        )
    seeds = [variant.seeds for variant in variants]
    if None in seeds or max(counts.values(), default=0) < 2:
        return list(variants), []
    if len({frozenset(s) for s in seeds if s}) == 1:
        return [replace(a, members=tuple(sorted(a.members, key=lambda m: m.seed or 0))) for a in variants], []
    stated = "; ".join(f"{variant.title} {', '.join(map(str, variant.seeds or []))}" for variant in variants)
    return list(variants), [
        f"training seeds differ between variants ({stated}): paired in the order of the command line"
    ]


def held_out_notes(variants: Sequence[Variant], held_out: float) -> Iterator[str]:
    """Say which models were trained on episodes that the probe is evaluated on."""
    for variant in variants:
        shares = {m.origin.held_out for m in variant.members if m.origin.held_out is not None}
        if shares and min(shares) < held_out:
            yield (
                f"{variant.title}: trained with val_fraction={min(shares):g}, some episodes kept apart here are known "
                f"to it; --set val_fraction={min(shares):g} leaves them out"
            )
