"""Writes pre-training shards (see `reader.py`): planned first, so that a killed emission goes on where it was."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataengine.differences import differences
from dataengine.errors import DataEngineError, OtherSettingsError, RecordError
from dataengine.hashed_file import HashedFile
from dataengine.shards.manifest import (
    FORMAT,
    GROUP,
    INDEX,
    LOCK,
    MANIFEST,
    PLAN,
    VERSION,
    WITH_CODEBOOKS,
    WITH_FRAME_SIDE,
    WITH_HANDS,
    entry_within,
    read_object,
    with_checksum,
)
from dataengine.shards.plan import ShardPlan, ShardSegment, ShardSource
from dataengine.shards.reader import HANDS_ACTION, HANDS_STATE, codes_member, index_name, latent_member, tar_name
from dataengine.shards.scaled import scaled
from dataengine.storage import Folder, normal_uri
from dataengine.whole_file import is_partial
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import EpisodeReader

TITLES = {
    "data": "data (fingerprint of the episodes)",
    "latents": "latents (fingerprint of their model)",
    "hands": "hands (whether people's are written)",
    "frame_side": "frame_side (that frames are scaled to)",
}


def write_shards(
    reader: ShardSource,
    uri: str | Path,
    planned: ShardPlan,
    *,
    roots: Iterable[str] = (),
    num_threads: int = 1,
    progress: Callable[[int, int], None] = lambda _samples, _bytes: None,
) -> dict[str, Any]:
    """Write the planned shards that are missing, then the manifest, which is returned.

    `roots` are those of the recordings behind them. `progress` is told the samples and bytes of every shard that is
    written or found.
    """
    statistics = {name: one.to_json() for name, one in reader.statistics().items()}
    hands = {name: one.to_json() for name, one in planned.felt.statistics.items()}
    folder = Folder(normal_uri(uri))
    codebooks = {info.name: reader.codebook(info.name) for info in planned.latents}
    there = _claim(folder, planned)

    def finish(number: int) -> dict[str, Any]:
        entry = _finished(folder, there, number) or _write_shard(reader, folder, number, planned)
        progress(entry["num_samples"], entry["num_bytes"])
        return entry

    with ThreadPoolExecutor(num_threads) as pool:
        entries = list(pool.map(finish, range(planned.num_shards)))
    manifest = {
        "format": FORMAT,
        "version": _version(planned, codebooks),
        "identity": asdict(planned.identity),
        "latents": [asdict(info) for info in planned.latents],
        "slots": list(planned.slots),
        "num_episodes": len(planned.episodes),
        **{f"num_{what}": sum(e[f"num_{what}"] for e in entries) for what in ("samples", "steps", "bytes")},
        "shares": planned.shares,
        "datasets": _table(planned.episodes, "dataset", reader),
        "embodiments": _table(planned.episodes, "embodiment", reader),
        "statistics": statistics,
        **({"hands": hands} if hands else {}),
        **({"frame_side": planned.frame_side} if planned.frame_side else {}),
        **_codebooks(codebooks),
        "roots": sorted(roots),
        "shards": entries,
    }
    manifest = with_checksum(manifest)
    folder.write(MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _version(planned: ShardPlan, codebooks: Mapping[str, NDArray[np.float32] | None]) -> int:
    """Say the oldest version of the format that has all there is."""
    if planned.frame_side:
        return WITH_FRAME_SIDE
    if _codebooks(codebooks):
        return WITH_CODEBOOKS
    return WITH_HANDS if planned.felt.is_any else VERSION


def _codebooks(codebooks: Mapping[str, NDArray[np.float32] | None]) -> dict[str, Any]:
    """Give those that there are as the manifest holds them, exactly: a float32 is a float64, too."""
    rows = {name: codebook.tolist() for name, codebook in codebooks.items() if codebook is not None}
    return {"codebooks": rows} if rows else {}


def _table(
    episodes: EpisodeTable, by: Literal["dataset", "embodiment"], reader: ShardSource
) -> dict[str, dict[str, Any]]:
    """Describe datasets or embodiments by name, whatever the order of the episodes."""
    table: dict[str, dict[str, Any]] = {}
    for setup, count, steps in sorted(episodes.by_setup(), key=lambda one: (one[0].dataset, one[0].kind)):
        facts = {"id": getattr(setup, f"{by}_id"), "kind": setup.kind, "episodes": 0, "steps": 0, "control_hz": set()}
        row = table.setdefault(getattr(setup, by), facts)
        row["episodes"] += count
        row["steps"] += steps
        row["control_hz"].add(setup.control_hz)
    for name in ("state", "action"):
        widths = np.zeros(len(episodes.setups), np.int64)
        np.maximum.at(widths, episodes.setup, reader.widths(name)[episodes.rows])
        for setup, width in zip(episodes.setups, widths.tolist(), strict=True):
            if getattr(setup, by) in table:  # a setup that none of these has
                row = table[getattr(setup, by)]
                row[f"{name}_dim"] = max(row.get(f"{name}_dim", 0), width)
    return {name: {**row, "control_hz": sorted(row["control_hz"])} for name, row in sorted(table.items())}


def check_folder(folder: Folder) -> dict[str, int]:
    """Refuse a folder that holds anything but shards; give the sizes of what is there."""
    there = folder.entries()
    others = sorted(name for name in there.keys() - {LOCK} if not is_partial(name))
    if PLAN not in there and others:
        raise DataEngineError(
            f"{folder.uri}: holds files and no {PLAN} ({others[0]}), so it is no folder of shards; give another folder"
        )
    return there


def _claim(folder: Folder, planned: ShardPlan) -> dict[str, int]:
    """Refuse a folder that holds other shards, clear up after a killed writer; give the sizes of what is there."""
    there = check_folder(folder)
    if PLAN in there:
        earlier = read_object(folder.read(PLAN), f"{folder.uri}/{PLAN}")
        if earlier.get("fingerprint") != planned.fingerprint:
            before = earlier.get("settings")  # versions before 0.2 noted none
            differing = differences(before, planned.settings, TITLES) if isinstance(before, dict) else ()
            raise OtherSettingsError(
                f"{folder.uri} holds shards of other data or settings; give the same to go on, another --out, or "
                f"delete that folder",
                list(differing),
            )
        for name in filter(is_partial, there):  # a killed process was at it; nobody else writes here now
            folder.delete(name)
    else:
        about = {"format": FORMAT, "fingerprint": planned.fingerprint, "settings": planned.settings}
        folder.write(PLAN, json.dumps(about).encode())
    return there


def _finished(folder: Folder, there: Mapping[str, int], number: int) -> dict[str, Any] | None:
    """Describe a shard that was there already; its index is written after it."""
    index, tar = index_name(number), tar_name(number)
    if index not in there or tar not in there:
        return None
    data = folder.read(index)
    try:
        entry = entry_within(data)
    except (ValueError, KeyError, TypeError, RecordError):  # damaged since: it is written anew
        return None
    return _with_index(entry.model_dump(), data) if there[tar] == entry.num_bytes else None


def _with_index(entry: dict[str, Any], index: bytes) -> dict[str, Any]:
    return {**entry, "index_sha256": hashlib.sha256(index).hexdigest()}


def _write_shard(reader: EpisodeReader, folder: Folder, number: int, planned: ShardPlan) -> dict[str, Any]:
    """Write one tar and then its index."""
    rows = []
    with (
        folder.writer(tar_name(number)) as stream,
        tarfile.open(fileobj=cast(BinaryIO, file := HashedFile(stream)), mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for segment in (segments := planned.segments(reader, number)):
            episode = reader.episodes[segment.row]
            key = f"{episode.episode_id}-{segment.number:04d}"
            members: dict[str, tuple[int, int]] = {}
            for name, data in _members(reader, segment, planned):
                header = tarfile.TarInfo(f"{key}.{name}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
                padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                members[name] = (tar.offset - padded, len(data))
            rows.append(_index_row(episode, segment, key, members))
    entry = {
        "name": tar_name(number),
        "num_bytes": file.num_bytes,
        "sha256": file.sha256,
        "num_samples": len(rows),
        "num_steps": sum(s.num_steps for s in segments),
    }
    columns = INDEX.append(GROUP) if any(GROUP.name in row for row in rows) else INDEX
    table = pa.Table.from_pylist(rows, schema=columns.with_metadata({"villa": json.dumps(entry)}))
    index = io.BytesIO()
    pq.write_table(table, index)
    folder.write(index_name(number), index.getvalue())
    return _with_index(entry, index.getvalue())


def _members(reader: EpisodeReader, segment: ShardSegment, planned: ShardPlan) -> Iterator[tuple[str, bytes]]:
    """Yield the files of one sample."""
    episode = reader.episodes[segment.row]
    steps = slice(segment.first, segment.first + segment.num_steps)
    about = _about(episode) | {"first": segment.first, "segment_steps": segment.num_steps}
    yield "json", json.dumps(about).encode()
    for name, array in (("state", reader.state(segment.row)), ("action", reader.action(segment.row))):
        if array is not None:
            yield f"{name}.npy", _npy(array[steps])
    for name, array in zip((HANDS_STATE, HANDS_ACTION), planned.felt.vectors(segment.row) or (), strict=False):
        yield name, _npy(array[steps])
    for info in planned.latents:
        latent, codes = reader.latent(segment.row, info.name)
        if reader.codebook(info.name) is None:
            yield latent_member(info.name), _npy(latent[steps])
        yield codes_member(info.name), _npy(codes[steps])
    for slot in episode.cameras:
        jpegs = reader.jpegs(slot, [(segment.row, frame) for frame in range(steps.start, steps.stop)])
        if planned.frame_side:
            jpegs = [scaled(data, planned.frame_side) for data in jpegs]
        yield f"frames_{slot}.bin", b"".join(jpegs)
        yield f"offsets_{slot}.npy", _npy(np.cumsum([0, *map(len, jpegs)], dtype=np.int64))


def _about(episode: EpisodeInfo) -> dict[str, Any]:
    """Say what an episode is; texts count its steps, not those of a segment."""
    facts = {k: v for k, v in asdict(episode).items() if k != "row" and (k != GROUP.name or v)}
    return facts | {"instruction": list(episode.instruction)}


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def _index_row(
    episode: EpisodeInfo, segment: ShardSegment, key: str, members: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    return {
        **_about(episode),
        "key": key,
        "first": segment.first,
        "count": segment.num_steps,
        "members": list(members),
        "offsets": [offset for offset, _ in members.values()],
        "sizes": [size for _, size in members.values()],
    }
