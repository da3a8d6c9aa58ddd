"""Lays episodes out as the columns of an `EpisodeTable`, which says what they are."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataengine.digest import SEPARATOR, joined_digests
from dataengine.episode import Kind, Text
from dataengine.windows.episode_info import HELD_OUT, group_name

SETUPS: Final = b"villa:setups"
"""Key of the metadata that lists the setups as JSON."""
WHOLE: Final = -1
"""End of a text that holds for the whole of an episode, however long: so that many episodes share it."""
HEX_DIGITS: Final = 16
"""Of an id; others are kept as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What many episodes have in common."""

    dataset: str
    dataset_id: int
    embodiment: str
    embodiment_id: int
    kind: Kind
    control_hz: float
    split: str
    cameras: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some episodes on their way into a table; arrays are as long as there are of them."""

    ids: pa.Array
    num_steps: NDArray[np.int64]
    setups: Sequence[Setup]
    setup: NDArray[np.int64]
    """Which of the setups each has."""
    groups: pa.Array
    texts: pa.Array
    """As `spell` writes them."""
    more: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further columns of the table."""


def arrange(pieces: Iterable[Rows]) -> pa.Table:
    """Lay episodes out as columns, in the order of their datasets and ids.

    Those that say themselves what their `row` is keep the order that they have.
    """
    setups: dict[Setup, int] = {}
    tables = []
    for piece in pieces:
        codes = np.array([setups.setdefault(setup, len(setups)) for setup in piece.setups], np.int32)
        columns = {
            "id": piece.ids.cast(pa.string()),
            "num_steps": pa.array(piece.num_steps, pa.int32()),
            "setup": pa.array(codes[piece.setup], pa.int32()),
            "group": piece.groups.cast(pa.string()).dictionary_encode(),
            "texts": piece.texts.dictionary_encode(),
            **{name: pa.array(values) for name, values in piece.more.items()},
        }
        tables.append(pa.table(columns))
    columns = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    columns = columns.append_column("share", pa.array(_shares(columns["id"], columns["group"]), pa.uint32()))
    columns = with_setups(columns.set_column(0, "id", _packed(columns["id"])), list(setups))
    if "row" in columns.column_names:
        return columns
    return columns.take(pa.array(order(columns, list(setups)))).combine_chunks()


def with_setups(columns: pa.Table, setups: Sequence[Setup]) -> pa.Table:
    """Say in the metadata what the numbers of setups mean."""
    metadata = {**(columns.schema.metadata or {}), SETUPS: json.dumps([asdict(s) for s in setups]).encode()}
    return columns.replace_schema_metadata(metadata)


def setups_of(columns: pa.Table) -> tuple[Setup, ...]:
    """Undo `with_setups`."""
    listed = json.loads(columns.schema.metadata[SETUPS])
    return tuple(Setup(**{**facts, "cameras": tuple(facts["cameras"])}) for facts in listed)


def distinct(columns: Iterable[pa.Array], num_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the different rows of some columns: the first of each, and which of them each row is."""
    codes, kinds = np.zeros(num_rows, np.int64), 1
    for column in columns:
        encoded = column.dictionary_encode()
        values = max(len(encoded.dictionary), 1)
        if kinds * values >= 2**62:
            codes, kinds = np.unique(codes, return_inverse=True)[1].reshape(-1), num_rows
        codes, kinds = codes * values + encoded.indices.to_numpy(), kinds * values
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return first, which.reshape(-1)


def spell(texts: Iterable[Text], num_steps: int) -> str:
    """Write texts down as JSON; those of the whole episode alike for every length."""
    whole = {(0, num_steps): WHOLE}
    return json.dumps([[t.start, whole.get((t.start, t.end), t.end), *t.phrases] for t in texts], separators=(",", ":"))


def read_spelt(spelt: str, num_steps: int) -> tuple[Text, ...]:
    """Undo `spell`."""
    spans = json.loads(spelt)
    return tuple(Text(first, num_steps if end == WHOLE else end, tuple(phrases)) for first, end, *phrases in spans)


def spell_ids(ids: pa.Array) -> pa.Array:
    """Give ids as text, however they are kept."""
    if ids.type == pa.string():
        return ids
    digits = ids.to_numpy().astype(">u8").tobytes().hex().encode()
    # Of a numpy array pyarrow would make several pieces where there are millions.
    ends = np.arange(0, len(digits) + 1, HEX_DIGITS, dtype=np.int32)
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(ends), pa.py_buffer(digits))


def order(columns: pa.Table, setups: Sequence[Setup]) -> NDArray[np.int64]:
    """(e,) positions in the order of datasets and ids."""
    names = {name: rank for rank, name in enumerate(sorted({s.dataset for s in setups}))}
    rank = np.array([names[s.dataset] for s in setups], np.int32)[columns["setup"].to_numpy()]
    if columns["id"].type == pa.uint64():
        return np.lexsort((columns["id"].to_numpy(), rank))
    keyed = pa.table({"rank": rank, "id": columns["id"]})
    return pc.sort_indices(keyed, [("rank", "ascending"), ("id", "ascending")]).to_numpy().astype(np.int64)


def _packed(ids: pa.ChunkedArray) -> pa.Array:
    """Keep ids of 16 hex digits in 8 bytes each, which have the same order."""
    whole = ids.combine_chunks()
    if not len(whole) or not pc.all(pc.match_substring_regex(whole, f"^[0-9a-f]{{{HEX_DIGITS}}}$")).as_py():
        return whole
    start = whole.offset * HEX_DIGITS
    digits = bytes(whole.buffers()[2])[start : start + len(whole) * HEX_DIGITS]
    return pa.array(np.frombuffer(bytes.fromhex(digits.decode()), ">u8").astype(np.uint64))


def _shares(ids: pa.ChunkedArray, groups: pa.ChunkedArray) -> NDArray[np.uint32]:
    """(e,) upper half of the hash that `is_held_out` compares."""
    column = groups.combine_chunks()
    codes, names = column.indices.to_numpy(), column.dictionary.to_pylist()
    by_group = _upper_halves(group_name(name).encode() for name in names)
    shares = by_group[codes]
    alone = np.array([not name for name in names], np.bool_)[codes]
    lone = ids.combine_chunks().filter(pa.array(alone)).cast(pa.binary()).to_pylist()
    shares[alone] = _upper_halves(lone)
    return shares


def _upper_halves(names: Iterable[bytes]) -> NDArray[np.uint32]:
    """Hash as `share_of` does, of millions in seconds."""
    start = f"{HELD_OUT}{SEPARATOR}".encode()
    digests = joined_digests(start + name for name in names)
    return (np.frombuffer(digests, "<u8") >> 32).astype(np.uint32)
