"""Whose quantiles scale the robots of a fine-tuned policy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from dataengine.errors import DataEngineError
from dataengine.windows.stats import EmbodimentStatistics

Statistics = Mapping[str, EmbodimentStatistics]


def joined(
    saved: Statistics, measured: Statistics, trained: Sequence[str], which: Literal["reuse", "recompute"]
) -> tuple[dict[str, EmbodimentStatistics], dict[str, str]]:
    """Give the statistics of every robot that the policy will know, and say where those of the trained ones are from.

    Robots that are not trained now keep theirs. Raise DataEngineError where a robot's vectors have other widths than
    the policy knows; or of another encoding, where the policy's quantiles are to scale them.
    """
    merged, origins = dict(saved), dict[str, str]()
    for name in trained:
        if name not in saved:
            merged[name], origins[name] = measured[name], "measured"
            continue
        _check_widths(name, saved[name], measured[name])
        if which == "reuse":
            _check_encodings(name, saved[name], measured[name])
            origins[name] = "reused"
            continue
        # Datasets that are not trained on now keep theirs; the robot as a whole is as in the data.
        by_dataset = {**saved[name].by_dataset, **measured[name].by_dataset}
        merged[name], origins[name] = replace(measured[name], by_dataset=by_dataset), "recomputed"
    return merged, origins


def _check_widths(name: str, saved: EmbodimentStatistics, measured: EmbodimentStatistics) -> None:
    for column in ("state", "action"):
        known, given = getattr(saved, column).dim, getattr(measured, column).dim
        if known != given:
            raise DataEngineError(
                f"{column} of embodiment '{name}' has {given} numbers in the data, {known} in the checkpoint; ingest "
                f"what is another robot by another name"
            )


def _check_encodings(name: str, saved: EmbodimentStatistics, measured: EmbodimentStatistics) -> None:
    """Refuse to scale joint angles by quantiles of a hand's motion, which may be as many numbers."""
    for column in ("state", "action"):
        known, given = getattr(saved, column).encoding, getattr(measured, column).encoding
        if known and given and known != given:  # empty where datasets differ, or nobody said
            raise DataEngineError(
                f"{column} of embodiment '{name}' is {given} in the data, {known} in the checkpoint, whose quantiles "
                f"do not fit; give statistics=recompute with --new-heads, or ingest it by another name"
            )
