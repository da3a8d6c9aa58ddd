"""Writes pre-training shards (see `shards.py`): planned first, so that a killed emission goes on where it was."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.mixture import key_of, permute
from dataengine.shards import FORMAT, INDEX, MANIFEST, PLAN, VERSION, index_path, tar_path
from dataengine.windows import EpisodeInfo, EpisodeReader, LatentInfo


@dataclass(frozen=True)
class Segment:
    """Neighbouring steps of one episode."""

    row: int
    first: int
    num_steps: int
    number: int
    """Place among the episode's segments."""


@dataclass(frozen=True)
class Plan:
    """Which segments go into which shard; equal for equal data and settings, so that a killed run goes on."""

    shards: list[list[Segment]]
    fingerprint: str
    slots: tuple[str, ...]
    latent: LatentInfo | None


def plan(
    reader: EpisodeReader, *, latent: str = "", shard_mb: float = 256, segment_steps: int = 1000, seed: int = 0
) -> Plan:
    """Cut episodes into segments, shuffle them, and deal them out into shards of about `shard_mb`."""
    info = reader.latent_info(latent) if latent else None
    slots = tuple(sorted({slot for e in reader.episodes for slot in e.cameras}))
    episodes = sorted(reader.episodes, key=lambda e: e.episode_id)
    segments = [
        Segment(e.row, first, min(segment_steps, e.num_steps - first), number)
        for e in episodes
        for number, first in enumerate(range(0, e.num_steps, segment_steps))
    ]
    order = permute(np.arange(len(segments)), max(len(segments), 1), key_of(seed))
    shards: list[list[Segment]] = []
    num_bytes = np.inf
    for i in order:
        s = segments[i]
        size = reader.num_bytes(s.row) * s.num_steps / reader.episodes[s.row].num_steps
        if num_bytes + size > shard_mb * 1e6:
            shards.append([])
            num_bytes = 0.0
        shards[-1].append(s)
        num_bytes += size
    words = [FORMAT, VERSION, reader.identity.fingerprint, asdict(info) if info else None]
    words += [shard_mb, segment_steps, seed, slots, [len(shard) for shard in shards]]
    fingerprint = hashlib.blake2b(json.dumps(words).encode(), digest_size=8).hexdigest()
    return Plan(shards, fingerprint, slots, info)


def write_shards(
    reader: EpisodeReader,
    directory: Path,
    planned: Plan,
    *,
    num_threads: int = 1,
    progress: Callable[[int, int], None] = lambda _samples, _bytes: None,
) -> dict[str, Any]:
    """Write the planned shards that are missing, then the manifest, which is returned.

    `progress` is told the samples and bytes of every shard that is written or found.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _claim(directory, planned.fingerprint)
    statistics = {name: one.to_json() for name, one in reader.statistics().items()}

    def finish(number: int) -> dict[str, Any]:
        entry = _finished(directory, number) or _write_shard(reader, directory, number, planned)
        progress(entry["num_samples"], entry["num_bytes"])
        return entry

    with ThreadPoolExecutor(num_threads) as pool:
        entries = list(pool.map(finish, range(len(planned.shards))))
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "identity": asdict(reader.identity),
        "latent": asdict(planned.latent) if planned.latent else None,
        "slots": list(planned.slots),
        "num_episodes": len(reader.episodes),
        **{f"num_{what}": sum(e[f"num_{what}"] for e in entries) for what in ("samples", "steps", "bytes")},
        "datasets": {e.dataset: e.dataset_id for e in reader.episodes},
        "embodiments": {e.embodiment: e.embodiment_id for e in reader.episodes},
        "statistics": statistics,
        "shards": entries,
    }
    _replace(directory / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _claim(directory: Path, fingerprint: str) -> None:
    """Refuse a folder that holds other shards."""
    place = directory / PLAN
    if place.exists():
        found = json.loads(place.read_text()).get("fingerprint")
        if found != fingerprint:
            raise DataEngineError(
                f"{directory} holds shards of other data or settings (plan {found}, now {fingerprint}); "
                f"give another folder, or delete this one"
            )
    elif any(directory.iterdir()):
        raise DataEngineError(f"{directory} is neither empty nor a folder of shards; give another folder")
    else:
        _replace(place, json.dumps({"format": FORMAT, "fingerprint": fingerprint}).encode())


def _finished(directory: Path, number: int) -> dict[str, Any] | None:
    """Describe a shard that is there already; its index is written after it."""
    index, tar = index_path(directory, number), tar_path(directory, number)
    if not index.exists() or not tar.exists():
        return None
    entry = json.loads(pq.read_schema(index).metadata[b"villa"])
    return entry if tar.stat().st_size == entry["num_bytes"] else None


def _write_shard(reader: EpisodeReader, directory: Path, number: int, planned: Plan) -> dict[str, Any]:
    """Write one tar and then its index, each whole or not at all."""
    tar_file, rows = tar_path(directory, number), []
    partial = tar_file.with_suffix(".tar.partial")
    with partial.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for segment in planned.shards[number]:
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
    with partial.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    entry = {
        "name": tar_file.name,
        "num_bytes": partial.stat().st_size,
        "sha256": digest,
        "num_samples": len(rows),
        "num_steps": sum(s.num_steps for s in planned.shards[number]),
    }
    partial.replace(tar_file)
    table = pa.Table.from_pylist(rows, schema=INDEX.with_metadata({"villa": json.dumps(entry)}))
    partial = tar_file.with_suffix(".parquet.partial")
    pq.write_table(table, partial)
    partial.replace(index_path(directory, number))
    return entry


def _members(reader: EpisodeReader, segment: Segment, planned: Plan) -> Iterator[tuple[str, bytes]]:
    """Yield the files of one sample."""
    episode = reader.episodes[segment.row]
    steps = slice(segment.first, segment.first + segment.num_steps)
    about = {k: v for k, v in asdict(episode).items() if k != "row"} | {"first": segment.first}
    about["segment_steps"] = segment.num_steps
    yield "json", json.dumps(about).encode()
    for name, array in (("state", reader.state(segment.row)), ("action", reader.action(segment.row))):
        if array is not None:
            yield f"{name}.npy", _npy(array[steps])
    if planned.latent:
        latent, codes = reader.latent(segment.row, planned.latent.name)
        yield "latent.npy", _npy(latent[steps])
        yield "codes.npy", _npy(codes[steps])
    for slot in episode.cameras:
        jpegs = reader.jpegs(slot, [(segment.row, frame) for frame in range(steps.start, steps.stop)])
        yield f"frames_{slot}.bin", b"".join(jpegs)
        yield f"offsets_{slot}.npy", _npy(np.cumsum([0, *map(len, jpegs)], dtype=np.int64))


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def _replace(place: Path, data: bytes) -> None:
    partial = place.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(place)


def _index_row(
    episode: EpisodeInfo, segment: Segment, key: str, members: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    return {
        **{k: v for k, v in asdict(episode).items() if k != "row"},
        "key": key,
        "first": segment.first,
        "count": segment.num_steps,
        "members": list(members),
        "offsets": [offset for offset, _ in members.values()],
        "sizes": [size for _, size in members.values()],
    }
