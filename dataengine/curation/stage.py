"""What a curation stage must offer. No registry: `catalog` finds stages by file name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.curation.coverage import Coverage, Seen
from dataengine.curation.episode_rows import EpisodeRows
from dataengine.curation.film import Film
from dataengine.episode import Kind
from dataengine.vector_layout import VectorLayout

Quality = Mapping[str, Any]
"""Measured columns of one episode by name, without the prefix `quality__`: floats, lists, NaN where without meaning."""


class Stage(Protocol):
    """One curation decision; `curation/stages/<name>.py` holds class `<Name>`, a frozen dataclass of thresholds.

    It measures in one of two ways (`MeasuresNumbers`, `MeasuresPictures`), whatever its thresholds, and decides by
    these columns alone in one of three (`Rejects`, `Trims`, `Surveys`), or first by one episode's and then by those of
    all: so a threshold moves without a picture read.
    """

    kinds: ClassVar[tuple[Kind, ...]]
    """Which episodes it checks; the others pass."""
    columns: ClassVar[tuple[str, ...]]
    """Numbers that it measures: one column `quality__<name>` of doubles each."""
    limits: ClassVar[Mapping[str, str]]
    """Threshold to the number that it bounds, for histograms; thresholds without a number of their own are left out."""


@runtime_checkable
class MeasuresNumbers(Stage, Protocol):
    """Measures without pictures, all episodes of a fragment at once."""

    def measure(self, rows: EpisodeRows) -> Mapping[str, Any]:
        """Compute every column, (e,) doubles or e lists; NaN or an empty list where one has no meaning."""
        ...


@runtime_checkable
class MeasuresPictures(Stage, Protocol):
    """Measures one episode by its pictures."""

    def look(self, film: Film) -> Mapping[str, Any]:
        """Compute every column; raise ValueError where pictures cannot be checked."""
        ...


class Covers(Protocol):
    """Says of which episodes its own numbers tell enough."""

    def coverage(self, seen: Seen) -> Coverage | None:
        """Say whether episodes of which so much is known are checked; None where only the survey of all tells."""
        ...


@runtime_checkable
class Rejects(Stage, Covers, Protocol):
    """Decides on each episode by its own numbers."""

    def reject(self, quality: Quality) -> str | None:
        """Say why an episode with these numbers must go, or return None to keep it."""
        ...


@runtime_checkable
class Warns(Stage, Protocol):
    """Knows what is wrong with an episode that it keeps all the same."""

    def warning(self, quality: Quality) -> str | None:
        """Say what a person should know of an episode with these numbers, or return None."""
        ...


@runtime_checkable
class Trims(Stage, Covers, Protocol):
    """Keeps an episode but for its ends."""

    def trim(self, quality: Quality) -> tuple[int, int]:
        """Count the steps to leave out at the head and at the tail."""
        ...


class Measured(Protocol):
    """The measured columns of all episodes that a survey checks: those that no rule for single episodes dropped."""

    @property
    def episode_ids(self) -> Sequence[str]:
        """Primary keys."""
        ...

    @property
    def datasets(self) -> Sequence[str]:
        """Names of the sources."""
        ...

    @property
    def embodiments(self) -> Sequence[str]:
        """Names of the embodiments."""
        ...

    def __len__(self) -> int: ...

    @property
    def splits(self) -> Sequence[str]:
        """`train`, `val` ..."""
        ...

    def column(self, name: str, rows: NDArray[np.int64] | None = None) -> pa.Array:
        """Read a measured column of all of them or, in this order, of some."""
        ...

    def layout(self, row: int, vector: str) -> VectorLayout:
        """Say what the values of one episode's `state` or `action` are, for the reason that is given."""
        ...

    def camera(self, row: int, slot: str) -> str:
        """Name a camera of one episode as its publisher does, with its slot where that is another word."""
        ...


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a look at all episodes together found."""

    numbers: Mapping[str, NDArray[np.float64]]
    """Numbers (n,) that exist only by comparison, for the report; NaN where one has no meaning."""
    objections: Mapping[int, str]
    """Row to why the episode must go."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """What was learnt of the corpus to check by, noted with the run."""
    coverage: Mapping[int, Coverage] = field(default_factory=dict)
    """Row to why it could not be checked, or by what else than usual it was; the others were checked."""
    notes: tuple[str, ...] = ()
    """What else somebody should know, such as what is wrong with a whole dataset."""


@runtime_checkable
class Surveys(Stage, Protocol):
    """Decides on episodes by all of them: limits of a embodiment, duplicates.

    Its columns are measured once for each episode, like any other's; the survey reads them anew in every run and must
    not depend on the order of rows, so that killed, resumed and grown corpora come to the same decisions.
    """

    signatures: ClassVar[Mapping[str, pa.DataType]]
    """Columns `quality__<name>` beside the numbers, with their types; an empty list where one has no meaning."""

    def survey(self, episodes: Measured) -> Survey:
        """Check all episodes together."""
        ...
