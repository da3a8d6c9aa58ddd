"""All about many episodes as columns: an `EpisodeInfo` is made when somebody asks for one, and none for the others.

The columns are an Arrow table, in memory or in a file that the processes of a machine share (`shared_table.py`):

    id         uint64, or string where an id is not 16 hex digits
    num_steps  int32, of those that count
    setup      int32, which of the setups in the table's metadata
    group      what must not be divided between training and validation; empty for an episode by itself
    texts      what is said, as JSON; equal texts are there once
    share      uint32, by which an episode is held out
and whatever more a reader needs to find an episode. Rows lie in the order of datasets, and of ids within one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.digest import hasher
from dataengine.windows.episode_columns import (
    HEX_DIGITS,
    WHOLE,
    Rows,
    Setup,
    arrange,
    order,
    read_spelt,
    setups_of,
    spell,
    spell_ids,
    with_setups,
)
from dataengine.windows.episode_info import HELD_OUT_SPLITS, DataIdentity, EpisodeInfo, is_held_out

LINES_AT_ONCE: Final = 2**20
"""Of text that is hashed."""
INFOS_HELD: Final = 8192
"""Episodes, and texts, that stay in memory as objects."""

_texts = lru_cache(INFOS_HELD)(read_spelt)


class EpisodeTable(Sequence[EpisodeInfo]):
    """Episodes of a reader, or some of them."""

    def __init__(self, columns: pa.Table, chosen: NDArray[Any] | None = None) -> None:
        self.columns = columns
        """Of all episodes that there are; those of this table are `chosen`, or all."""
        self.chosen = chosen
        self.setups = setups_of(columns)
        self._arrays = {
            name: (column.chunk(0) if column.num_chunks else pa.array([], column.type))
            for name, column in zip(columns.column_names, columns.columns, strict=True)
        }
        numbers = {name: a for name, a in self._arrays.items() if pa.types.is_integer(a.type)}
        self._numbers: dict[str, NDArray[Any]] = {name: array.to_numpy() for name, array in numbers.items()}
        self._held: dict[int, EpisodeInfo] = {}

    @classmethod
    def of(cls, episodes: Sequence[EpisodeInfo]) -> "EpisodeTable":
        """Make a table of episodes that are objects; one that is a table already is given back."""
        return episodes if isinstance(episodes, cls) else cls(arrange([_as_rows(episodes)]))

    def __len__(self) -> int:
        return len(self.columns) if self.chosen is None else len(self.chosen)

    @overload
    def __getitem__(self, which: int) -> EpisodeInfo: ...
    @overload
    def __getitem__(self, which: slice) -> "EpisodeTable": ...
    def __getitem__(self, which: int | slice) -> "EpisodeInfo | EpisodeTable":
        if isinstance(which, slice):
            return self.select(np.arange(len(self))[which])
        position = range(len(self))[which]
        at = position if self.chosen is None else int(self.chosen[position])
        info = self._held.get(at)
        if info is None:
            info = self._info(at)
            if len(self._held) >= INFOS_HELD:
                self._held.clear()
            self._held[at] = info
        return info

    def __iter__(self) -> Iterator[EpisodeInfo]:
        return map(self._info, self._positions())

    def select(self, which: NDArray[Any]) -> "EpisodeTable":
        """Give the episodes that a mask (e,) or their positions name."""
        positions = np.flatnonzero(which) if which.dtype == np.bool_ else which
        kept = positions if self.chosen is None else self.chosen[positions]
        return EpisodeTable(self.columns, kept.astype(np.uint32 if len(self.columns) < 2**32 else np.int64))

    def with_setups(self, setups: Sequence[Setup]) -> "EpisodeTable":
        """Give the same episodes with other facts in place of each setup."""
        return EpisodeTable(with_setups(self.columns, setups), self.chosen)

    def numbers(self, name: str) -> NDArray[Any]:
        """(e,) values of a column of whole numbers; those of a whole table are no copy."""
        values = self._numbers[name]
        return values if self.chosen is None else values[self.chosen]

    @property
    def rows(self) -> NDArray[Any]:
        """(e,) place of each in its reader's `episodes`."""
        if "row" in self._numbers:
            return self.numbers("row")
        return np.arange(len(self), dtype=np.uint32) if self.chosen is None else self.chosen

    @property
    def num_steps(self) -> NDArray[np.int32]:
        """(e,) steps of each."""
        return self.numbers("num_steps")

    @property
    def setup(self) -> NDArray[np.int32]:
        """(e,) which of the setups each has."""
        return self.numbers("setup")

    def having(self, wanted: Iterable[bool]) -> NDArray[np.bool_]:
        """(e,) tell which episodes have one of the setups that are `wanted`, in the order of `setups`."""
        return np.fromiter(wanted, np.bool_, len(self.setups))[self.setup]

    def by_setup(self) -> list[tuple[Setup, int, int]]:
        """List the setups that occur, each with its episodes and steps, in the order of their first episodes."""
        counts = np.bincount(self.setup, minlength=len(self.setups))
        steps = np.bincount(self.setup, self.num_steps, minlength=len(self.setups))
        present, first = np.unique(self.setup, return_index=True)
        return [(self.setups[i], int(counts[i]), int(steps[i])) for i in present[np.argsort(first)].tolist()]

    def ids(self) -> Iterator[str]:
        """Give the id of each."""
        return map(self._id, self._positions())

    def groups(self) -> set[str]:
        """Collect what must not be divided; empty where there are but episodes by themselves."""
        return set(self._used("group")) - {""}

    def phrases(self) -> set[str]:
        """Collect every different phrase of their texts."""
        return {phrase for spelt in self._used("texts") for _, _, *phrases in json.loads(spelt) for phrase in phrases}

    def first_ids(self, most: int) -> "EpisodeTable":
        """Give those whose ids come first, in their order: a fair draw, for ids are hashes."""
        ids = self.columns["id"] if self.chosen is None else self.columns["id"].take(pa.array(self.chosen))
        return self.select(pc.sort_indices(ids).slice(0, most).to_numpy())

    def always_spoken(self) -> NDArray[np.bool_]:
        """(e,) tell of each whether a text holds for the whole of it; texts that follow one another may do so too."""
        column = self._arrays["texts"]
        whole = [any(end == WHOLE for _, end, *_ in json.loads(spelt)) for spelt in column.dictionary.to_pylist()]
        spoken = np.array(whole, np.bool_)[column.indices.to_numpy()]
        return spoken if self.chosen is None else spoken[self.chosen]

    def held_out(self, fraction: float) -> NDArray[np.bool_]:
        """(e,) tell of each what `is_held_out` tells."""
        share, edge = self.numbers("share"), fraction * 2.0**32
        away = self.having(s.split.lower() in HELD_OUT_SPLITS for s in self.setups) | (share + 1.0 < edge)
        # The lower half of the hash decides of one in four billion.
        for i in np.flatnonzero(~away & (share < edge)).tolist():
            away[i] = is_held_out(self[i], fraction)
        return away

    def in_order(self) -> "EpisodeTable":
        """Give them in the order of their datasets and ids."""
        if "row" not in self._numbers:  # as tables of readers lie
            if self.chosen is None or (self.chosen[:-1] <= self.chosen[1:]).all():
                return self
            return EpisodeTable(self.columns, np.sort(self.chosen))
        ordered = order(self.columns, self.setups)
        if self.chosen is not None:
            kept = np.zeros(len(ordered), np.bool_)
            kept[self.chosen] = True
            ordered = ordered[kept[ordered]]
        return EpisodeTable(self.columns, ordered)

    def _positions(self) -> Iterable[int]:
        return range(len(self)) if self.chosen is None else self.chosen.tolist()

    def _used(self, name: str) -> list[str]:
        """List the different values of a column of texts."""
        column = self._arrays[name]
        codes = column.indices.to_numpy()
        used = np.unique(codes if self.chosen is None else codes[self.chosen])
        return list(column.dictionary.take(pa.array(used)).to_pylist())

    def _word(self, name: str, at: int) -> str:
        column = self._arrays[name]
        return str(column.dictionary[column.indices[at].as_py()].as_py())

    def _id(self, at: int) -> str:
        packed = self._numbers.get("id")
        return f"{int(packed[at]):0{HEX_DIGITS}x}" if packed is not None else str(self._arrays["id"][at].as_py())

    def _info(self, at: int) -> EpisodeInfo:
        setup, steps = self.setups[int(self._numbers["setup"][at])], int(self._numbers["num_steps"][at])
        return EpisodeInfo(
            row=int(self._numbers["row"][at]) if "row" in self._numbers else at,
            episode_id=self._id(at),
            dataset=setup.dataset,
            dataset_id=setup.dataset_id,
            embodiment=setup.embodiment,
            embodiment_id=setup.embodiment_id,
            kind=setup.kind,
            control_hz=setup.control_hz,
            num_steps=steps,
            texts=_texts(self._word("texts", at), steps),
            split=setup.split,
            split_group=self._word("group", at),
            cameras=setup.cameras,
        )


def identify(
    uri: str, version: int, episodes: Sequence[EpisodeInfo], first_steps: Sequence[int] | NDArray[Any] = ()
) -> DataIdentity:
    """Say which data some episodes are.

    `first_steps` tell by row which step of its recording an episode begins with: equal length is not equal content.
    """
    return DataIdentity(uri=uri, version=version, fingerprint=fingerprint(EpisodeTable.of(episodes), first_steps))


def fingerprint(episodes: EpisodeTable, first_steps: Sequence[int] | NDArray[Any] = ()) -> str:
    """Hash ids, lengths, numbers and splits of episodes, in an order that no storage decides."""
    columns = episodes.columns if episodes.chosen is None else episodes.columns.take(pa.array(episodes.chosen))
    ids = spell_ids(columns["id"].combine_chunks())
    first = np.asarray(first_steps, np.int64)[episodes.rows] if len(first_steps) else np.zeros(len(columns), np.int64)
    facts = pa.array([f"|{s.dataset_id}|{s.embodiment_id}|{s.split}" for s in episodes.setups], pa.string())
    group = columns["group"].combine_chunks()
    # A group decides what is held out; an episode by itself has no word for it.
    marks = pa.array([f"|{name}\n" if name else "\n" for name in group.dictionary.to_pylist()], pa.string())
    steps = [pa.array(first).cast(pa.string()), columns["num_steps"].cast(pa.string()).combine_chunks()]
    starts = pc.binary_join_element_wise(ids, pc.binary_join_element_wise(*steps, "+"), "|")
    ends = [facts.take(columns["setup"].combine_chunks()), marks.take(group.indices)]
    lines = pc.binary_join_element_wise(starts, *ends, "")
    digest, order = hasher(), pc.sort_indices(columns["id"].combine_chunks())
    for first in range(0, len(lines), LINES_AT_ONCE):
        # One after another, as they lie in memory.
        some = lines.take(order.slice(first, LINES_AT_ONCE))
        digest.update(_bytes(some))
    return digest.hexdigest()


def _bytes(lines: pa.Array) -> memoryview:
    """See the bytes of lines that were just made, one after another."""
    ends = np.frombuffer(lines.buffers()[1], np.int32)
    return memoryview(lines.buffers()[2] or b"").cast("B")[: int(ends[len(lines)])]


def _as_rows(episodes: Sequence[EpisodeInfo]) -> Rows:
    setups: dict[Setup, int] = {}
    names = Setup.__dataclass_fields__
    which = [setups.setdefault(Setup(**{n: getattr(e, n) for n in names}), len(setups)) for e in episodes]
    return Rows(
        ids=pa.array([e.episode_id for e in episodes], pa.string()),
        num_steps=np.array([e.num_steps for e in episodes], np.int64),
        setups=list(setups),
        setup=np.array(which, np.int64),
        groups=pa.array([e.split_group for e in episodes], pa.string()),
        texts=pa.array([spell(e.texts, e.num_steps) for e in episodes], pa.string()),
        more={"row": np.array([e.row for e in episodes], np.int64)},
    )
