"""The nouns: Part, Episode, Reject, and the frames of a camera slot."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dataengine.digest import stable_id
from dataengine.hands import Hands

LONGEST_NAME = 240
"""Letters in the name of a record or part; longer than any that a publisher chose."""

CAMERA_SLOTS = ("primary", "secondary", "wrist", "wrist_2")
"""Every camera of every dataset lands in one of these."""

Kind = Literal["robot", "human"]

Encoding = Literal[
    "none", "eef_pose", "eef_delta", "eef_velocity", "joint_position", "joint_delta", "joint_velocity", "mixed"
]
"""What a canonical vector is; `none` for clips without proprioception."""


def spelt(name: str) -> str:
    r"""Spell out what is no letter: `caf\udce9` where a file's name has a byte that is not UTF-8."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def plain_name(text: str) -> str:
    """Make a name of untrusted text that any table and message takes: itself, or its start and a hash."""
    if len(text) <= LONGEST_NAME and text.isprintable():  # halves of a letter are not printable
        return text
    start = spelt(text[:LONGEST_NAME])
    return f"{' '.join(start.split())[: LONGEST_NAME - 40]} ... {stable_id(text)}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one worker reads: a TFRecord file, an AgiBot episode folder, a batch of videos; 0.1 to 1 GB."""

    dataset: str
    """Name of the source, as `villa sources` prints it."""
    name: str
    """Place below the dataset's root; with `dataset` it identifies the part for good."""
    uri: str
    """Where it lies now."""
    num_bytes: int
    fingerprint: str
    """Changes when the bytes change; never part of the identity, so that a changed source is noticed."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What `Source.read` needs to know beside the place: split, range of records."""
    completion: int = 0
    """0 for the first reading; k for the k-th one that adds records which the readings before had to reject."""

    @property
    def part_id(self) -> str:
        """Stable identity in the ledger: equal for equal dataset, name and completion."""
        return self.id_of(self.completion)

    def id_of(self, completion: int) -> str:
        """Identity of another reading of this part, which is a part of its own to the ledger."""
        return stable_id(self.dataset, self.name, *([str(completion)] if completion else []))


@dataclass(frozen=True, kw_only=True)
class CameraFrames:
    """The frames of one camera slot, encoded as JPEG, one for each step."""

    jpegs: Sequence[bytes]
    height: int
    """Height in pixels of the JPEGs."""
    width: int
    native_height: int
    """Height in pixels that the publisher ships."""
    native_width: int


@dataclass(frozen=True, slots=True)
class Text:
    """One text that holds for steps `start` to `end`, without `end`; `texts.py` says what several of them mean."""

    start: int
    end: int
    phrases: tuple[str, ...]
    """Paraphrases: any of them says it all."""


def phrases_of(texts: Iterable[Text]) -> tuple[str, ...]:
    """Every different phrase, in order."""
    return tuple(dict.fromkeys(phrase for text in texts for phrase in text.phrases))


TextSource = Literal["publisher", "template", "llm", "none"]
"""Who wrote a clip's text: the dataset's annotators, this project (from a class or scene name), a language model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where in a longer video a clip was cut; seconds after the video's start."""

    video: str
    """Which video of the dataset."""
    split_group: str
    """What must not be divided between training and validation: a participant, a session, an event seen by several."""
    label_start_s: float
    """As the publisher labelled it."""
    label_end_s: float
    clip_start_s: float
    """As it was cut, with context."""
    clip_end_s: float
    text_source: TextSource = "publisher"


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One attempt by a robot, or one human clip: arrays over t steps.

    House units: metres, radians, nanoseconds from the first step, gripper 0 closed to 1 open. A human clip has no
    state and action (None). `raw_*` keep the source's own numbers untouched.
    """

    dataset: str
    source_record: str
    """Which record of the dataset; with `dataset` it identifies the episode."""
    source_uri: str
    embodiment: str
    kind: Kind
    control_hz: float
    """Steps in a second, as recorded (robot) or as stored (human)."""
    texts: Sequence[Text]
    """What the robot is asked to do, or what a clip shows, and at which steps; see `texts.whole_episode`."""
    time_ns: NDArray[np.int64]
    """(t,) nanoseconds since the first step."""
    cameras: Mapping[str, CameraFrames]
    """Slot name to frames; every slot has t frames."""
    state: NDArray[np.float32] | None = None
    """(t, s) canonical state."""
    action: NDArray[np.float32] | None = None
    """(t, a) canonical action; row i was taken after observation i."""
    raw_state: NDArray[np.floating[Any]] | None = None
    """(t, r) the source's own numbers, float32 or float64; what is not finite is the publisher's gap."""
    raw_action: NDArray[np.floating[Any]] | None = None
    raw_state_exact: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    """Which of the r are whole numbers that float64 rounds, each with its (t,) true ones."""
    raw_action_exact: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    state_encoding: Encoding = "none"
    action_encoding: Encoding = "none"
    split: str = "train"
    licence: str = "unknown"
    cut: Cut | None = None
    """Where it was cut out of a longer video; None for what was recorded as it is."""
    hands: Hands | None = None
    """Hands of the person at each step, where the publisher tells of them."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What the source decided for this episode (a gripper polarity, a doubtful conversion); counted in reports."""

    @property
    def episode_id(self) -> str:
        """Primary key: stable hash of dataset and record."""
        return stable_id(self.dataset, self.source_record)

    @property
    def instruction(self) -> list[str]:
        """Every different phrase of its texts, in order."""
        return list(phrases_of(self.texts))

    @property
    def num_steps(self) -> int:
        """Steps, which is also the number of frames in every slot."""
        return len(self.time_ns)


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A record, or with `record` empty a whole part, that could not be read."""

    part_id: str
    dataset: str
    source_uri: str
    record: str
    """Which record of the part; empty when the part as a whole is bad."""
    reason: str
    """One line: what was found, what was expected."""
    error: str = ""
    """Class of the error."""
    attempts: int = 1
    traceback_digest: str = ""

    def __post_init__(self) -> None:
        """Keep out of the tables what they cannot hold."""
        object.__setattr__(self, "record", plain_name(self.record))
        object.__setattr__(self, "source_uri", spelt(self.source_uri))
        object.__setattr__(self, "reason", spelt(self.reason))
