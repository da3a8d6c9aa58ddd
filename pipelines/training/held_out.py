"""Which episodes training must never see, and what there is to say where that leaves a dataset on one side only."""

from collections.abc import Iterator, Sequence

from dataengine.errors import DataEngineError
from dataengine.windows.window import EpisodeInfo, EpisodeReader, is_held_out

FEW = 3
"""Groups that a message names."""


def split(reader: EpisodeReader, held_out: float) -> tuple[list[EpisodeInfo], list[EpisodeInfo]]:
    """Part the episodes for training from those that it must never see."""
    away = [is_held_out(e, held_out) for e in reader.episodes]
    train = [e for e, gone in zip(reader.episodes, away, strict=True) if not gone]
    if not train:
        raise DataEngineError(f"{reader.uri}: {_nothing_left(reader.episodes, held_out)}")
    return train, [e for e, gone in zip(reader.episodes, away, strict=True) if gone]


def one_sided(train: Sequence[EpisodeInfo], held_out: Sequence[EpisodeInfo], fraction: float) -> Iterator[str]:
    """Say which datasets, of those whose groups must not be divided, are wholly trained on or wholly held out."""
    sides = [{e.dataset for e in side} for side in (train, held_out)]
    for dataset in sorted({e.dataset for e in (*train, *held_out) if e.split_group}):
        if dataset not in sides[0]:
            yield f"{dataset}: {_nothing_left([e for e in held_out if e.dataset == dataset], fraction)}"
        elif dataset not in sides[1] and fraction > 0:
            mine = [e for e in train if e.dataset == dataset]
            yield (
                f"{dataset}: no episode is held out: its {len(mine)} are of {_groups(mine)}, of which "
                f"val_fraction={fraction:g} took none"
            )


def _nothing_left(episodes: Sequence[EpisodeInfo], fraction: float) -> str:
    """Say why no episode is left to train on, and what helps."""
    by_publisher = sum(is_held_out(e, 0.0) for e in episodes)
    if by_publisher == len(episodes):
        return f"all {len(episodes)} episodes are held out by their publisher's split; ingest the part for training too"
    grouped = f", which are of {_groups(episodes)}," if any(e.split_group for e in episodes) else ""
    return f"all {len(episodes)} episodes{grouped} are held out; lower val_fraction from {fraction:g}"


def _groups(episodes: Sequence[EpisodeInfo]) -> str:
    """Count the groups and name some: `2 groups (P01, P02)`."""
    names = sorted({e.split_group or e.episode_id for e in episodes})
    shown = ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")
    return f"{len(names)} group{'s' if len(names) > 1 else ''} ({shown})"
