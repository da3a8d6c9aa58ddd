"""All about an episode but its arrays and pictures, and which episodes some data is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataengine.digest import share_of
from dataengine.episode import Kind, Text, phrases_of
from dataengine.framing import Framing

HELD_OUT = "held out"
"""What is hashed before the name of an episode or group."""
HELD_OUT_SPLITS = ("val", "valid", "validation", "test", "eval")
"""Splits of the publishers that no training run may see."""


@dataclass(frozen=True, kw_only=True)
class EpisodeInfo:
    """All about an episode but its arrays and pictures."""

    row: int
    """Place in the reader's `episodes`."""
    episode_id: str
    dataset: str
    dataset_id: int
    embodiment: str
    embodiment_id: int
    kind: Kind
    control_hz: float
    num_steps: int
    texts: tuple[Text, ...] = ()
    """What is said, and at which steps of those that count here."""
    split: str = "train"
    split_group: str = ""
    """What must not be divided between training and validation: a person, an event; empty for an episode by itself."""
    cameras: tuple[str, ...] = ("primary",)

    @property
    def instruction(self) -> tuple[str, ...]:
        """Every different phrase of its texts, in order."""
        return phrases_of(self.texts)


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """Which data a model has seen; a run refuses to go on with other data."""

    uri: str
    version: int
    """Version of the corpus, also when read from shards made of it."""
    fingerprint: str
    """Hash over the episodes that are kept: ids, lengths and dimensions."""
    snapshot: str = ""
    """Name of the corpus's state that was read; empty where it had none."""
    mixture: Mapping[str, Any] | None = None
    """Settings of the mixture that was pinned with it."""
    framings: Mapping[str, Framing] = field(default_factory=dict)
    """How frames of each dataset came to rest; of none in shards from before that was told."""


def is_held_out(episode: EpisodeInfo, fraction: float) -> bool:
    """Keep an episode away from training: its publisher says so, or a hash that no run can change.

    The hash is of what must not be divided: its group, or its id. The dataset is not part of it, for two datasets may
    label videos of one person (Ego4D and EgoHOD do, and call a group alike).
    """
    if episode.split.lower() in HELD_OUT_SPLITS:
        return True
    return share_of(HELD_OUT, undivided(episode)) < fraction


def undivided(episode: EpisodeInfo) -> str:
    """Name what must not be divided between training and validation: an episode's group, or itself by its id."""
    return group_name(episode.split_group) if episode.split_group else episode.episode_id


def group_name(split_group: str) -> str:
    """Name a group apart from all episodes."""
    return f"group {split_group}"
