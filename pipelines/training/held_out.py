"""Which episodes training must never see, and what there is to say where that leaves a dataset on one side only."""

from collections.abc import Iterator

from dataengine.errors import DataEngineError
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import EpisodeReader

FEW = 3
"""Groups that a message names."""


def split(reader: EpisodeReader, held_out: float) -> tuple[EpisodeTable, EpisodeTable]:
    """Part the episodes for training from those that it must never see."""
    away = reader.episodes.held_out(held_out)
    if away.all():
        raise DataEngineError(f"{reader.uri}: {_nothing_left(reader.episodes, held_out)}")
    return reader.episodes.select(~away), reader.episodes.select(away)


def one_sided(train: EpisodeTable, held_out: EpisodeTable, fraction: float) -> Iterator[str]:
    """Say which datasets, of those whose groups must not be divided, are wholly trained on or wholly held out."""
    sides = [{setup.dataset for setup, _, _ in side.by_setup()} for side in (train, held_out)]
    for dataset in sorted(sides[0] | sides[1]):
        if dataset in sides[0] and (dataset in sides[1] or fraction <= 0):
            continue
        side = train if dataset in sides[0] else held_out
        mine = side.select(side.having(s.dataset == dataset for s in side.setups))
        if not mine.groups():
            continue
        if side is held_out:
            yield f"{dataset}: {_nothing_left(mine, fraction)}"
        else:
            yield (
                f"{dataset}: no episode is held out: its {len(mine)} are of {_groups(mine)}, of which "
                f"val_fraction={fraction:g} took none"
            )


def _nothing_left(episodes: EpisodeTable, fraction: float) -> str:
    """Say why no episode is left to train on, and what helps."""
    by_publisher = int(episodes.held_out(0.0).sum())
    if by_publisher == len(episodes):
        return f"all {len(episodes)} episodes are held out by their publisher's split; ingest the part for training too"
    grouped = f", which are of {_groups(episodes)}," if episodes.groups() else ""
    return f"all {len(episodes)} episodes{grouped} are held out; lower val_fraction from {fraction:g}"


def _groups(episodes: EpisodeTable) -> str:
    """Count the groups and name some: `2 groups (P01, P02)`."""
    names = sorted({e.split_group or e.episode_id for e in episodes})
    shown = ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")
    return f"{len(names)} group{'s' if len(names) > 1 else ''} ({shown})"
