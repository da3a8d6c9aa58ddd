"""What a run sees of its data beside which episodes they are: equal episodes may have other pictures or statistics."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from dataengine.windows.window import EpisodeReader, LatentInfo

TITLES: Final = {
    "data": "data (fingerprint of the episodes)",
    "frames": "frames (how they came to rest)",
    "frame_side": "frame_side (that shards were scaled to)",
    "cameras": "cameras (of each dataset)",
    "control_hz": "control_hz (of each dataset)",
    "statistics": "statistics (datasets that they tell apart, by embodiment)",
    "latent actions": "latent actions (fingerprint of their model)",
    "labels": "labels (how they were computed)",
}
_NOTED_LATER: Final = ("frames", "frame_side", "cameras", "control_hz", "statistics", "labels")
"""Facts that runs of version 0.2 and before did not save."""


def seen(reader: EpisodeReader, latent: LatentInfo | None = None) -> dict[str, Any]:
    """Give the facts that the batches of a run follow from; how shards were cut and shuffled is none of them.

    Statistics follow from the episodes and from which datasets they tell apart.
    """
    cameras, rates = defaultdict[str, set[str]](set), defaultdict[str, set[float]](set)
    for setup, _, _ in reader.episodes.by_setup():
        cameras[setup.dataset].add(" ".join(setup.cameras) or "none")
        rates[setup.dataset].add(setup.control_hz)
    framings = {name: f for name, f in reader.identity.framings.items() if name in cameras}
    return {
        "data": reader.identity.fingerprint,
        "frames": {name: f"{f.fit}, {f.side} pixels" for name, f in framings.items()},
        "frame_side": reader.frame_side,
        "cameras": {name: sorted(kinds) for name, kinds in cameras.items()},
        "control_hz": {name: sorted(several) for name, several in rates.items()},
        "statistics": {name: sorted(one.by_dataset) for name, one in reader.statistics().items()},
        **({"labels": f"{latent.kind}, {latent.precision}"} if latent else {}),
    }


def with_unsaved(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Take facts that an earlier version did not save for those of today."""
    return {**{key: now[key] for key in _NOTED_LATER if key in now}, **before}
