"""Which cameras a policy reads, which the data has beside them, and how to have it read those too."""

from collections import Counter
from collections.abc import Sequence

from dataengine.episode import CAMERA_SLOTS
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import WindowSpec

SMALL_WRIST = "model.wrist={widths: [16, 32, 64, 128], num_heads: 4, head_dim: 32}"
"""A wrist encoder of 0.8 million parameters, for the preset that has none."""


def read_and_left_out(spec: WindowSpec, episodes: Sequence[EpisodeInfo]) -> tuple[list[str], list[str]]:
    """Name the cameras of some episodes that windows hold, and the others."""
    there = {slot for setup, _, _ in EpisodeTable.of(episodes).by_setup() for slot in setup.cameras}
    asked = (*spec.slots, *spec.optional_slots)
    return [s for s in CAMERA_SLOTS if s in there and s in asked], [
        s for s in CAMERA_SLOTS if s in there and s not in asked
    ]


def describe(spec: WindowSpec, episodes: Sequence[EpisodeInfo]) -> str:
    """Say in a line what is read and what is left out."""
    counts = Counter[str]()
    for setup, count, _ in EpisodeTable.of(episodes).by_setup():
        counts.update(dict.fromkeys(setup.cameras, count))
    read, left_out = read_and_left_out(spec, episodes)
    of = f"of {len(episodes):,} episodes"
    listed = ", ".join(f"{slot} ({counts[slot]:,} {of})" for slot in read) or "none"
    line = f"cameras read: {listed}"
    if not left_out:
        return line
    named = ", ".join(f"{slot} ({counts[slot]:,} {of})" for slot in left_out)
    further = [slot for slot in left_out if slot != "wrist"]
    more = [*(slot for slot in spec.optional_slots if slot != "wrist"), *further] if further else []
    settings = [f"--set '{SMALL_WRIST}'"] if "wrist" not in spec.optional_slots else []
    settings += [f"--set 'model.more_cameras=[{', '.join(more)}]'"] if more else []
    return f"{line}; left out: {named}, which {' '.join(settings)} reads"
