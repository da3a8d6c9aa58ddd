"""What a source and a runner must offer. No registry: `catalog` finds them by file name."""

from collections.abc import Iterator
from typing import ClassVar, Protocol

from dataengine.episode import Episode, Kind, Part, Reject
from dataengine.framing import Fit


class PartReader(Protocol):
    """What an engine sends to its workers."""

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        """Yield the part's episodes in recording order; a bad record as a Reject."""
        ...


class Source(PartReader, Protocol):
    """One dataset as its publisher ships it; `dataengine/sources/<name>.py`, or `<name>/<name>.py`, holds its class."""

    name: ClassVar[str]
    """As on the command line: `agibot`, `openx/libero`."""
    kind: ClassVar[Kind]
    embodiment: ClassVar[str]
    other_embodiments: ClassVar[tuple[str, ...]] = ()
    """Bodies beside `embodiment` that its episodes may carry (a hand in place of the gripper)."""
    control_hz: ClassVar[float]
    layout: ClassVar[str]
    """The publisher's file layout in a few words."""
    licence: ClassVar[str]

    def __init__(self, root: str, *, frame_size: int = 256, frame_hz: float = 10.0, fit: Fit = "squash") -> None:
        """Take the dataset's place, the rate to sample video at, and how frames come to rest (`framing.py`).

        A source of somebody's own that takes no `fit` squashes.
        """
        ...

    def parts(self) -> list[Part]:
        """List the work without reading records; raise SourceError when root is no such dataset."""
        ...

    def fingerprint(self, part: Part) -> str:
        """Look at a part once more, as cheaply: the same as planned unless its files have been written to since."""
        ...
