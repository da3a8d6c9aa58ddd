"""How the stages that judge cameras look at an episode: a fixed cost, however long it is."""

NUM_SAMPLES = 12
"""Pictures looked at, evenly spaced over the episode."""
CELLS = 16
"""Cells along a side that a picture is averaged to: noise disappears, a small thing that moves does not."""
