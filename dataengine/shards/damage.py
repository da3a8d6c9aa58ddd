"""Finds all that is damaged in a folder of shards, where readers stop at the first: `villa shard FOLDER --verify`."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dataengine.shards.checks import DAMAGED, check_again
from dataengine.shards.manifest import (
    MANIFEST,
    PLAN,
    DamagedShardsError,
    ShardEntry,
    check_there,
    damaged,
    entry_within,
    index_of,
    read_bytes,
    read_index,
    read_manifest,
    read_object,
)
from dataengine.shards.reader import ShardReader

Damage = dict[str, str]
"""What is wrong with each damaged file, by its name."""


def list_shards(directory: Path) -> tuple[list[ShardEntry], Damage]:
    """List the shards of a finished folder, by its manifest, or where that is damaged by their own indexes.

    Raise DataEngineError where there are no finished shards.
    """
    try:
        return read_manifest(directory)[1].shards, {}
    except DamagedShardsError as error:
        entries: list[ShardEntry] = []
        damage = {error.path.name: error.what}
    for path in sorted(directory.glob("shard-*.parquet")):
        try:
            with damaged(path):
                entries.append(entry_within(read_bytes(path)))
        except DamagedShardsError as error:
            damage[path.name] = error.what
    known = {entry.name for entry in entries} | {Path(name).with_suffix(".tar").name for name in damage}
    for path in sorted(directory.glob("shard-*.tar")):
        if path.name not in known:
            damage[path.name] = "found no index beside it"
    return entries, damage


def find_damage(
    directory: Path, entries: Sequence[ShardEntry], threads: int = 1, tell: Callable[[int], None] = lambda _bytes: None
) -> Damage:
    """Read every byte of the shards and of their indexes; `tell` gets the bytes that were read."""

    def check(entry: ShardEntry) -> Damage:
        of_shard = dict(_check(directory, entry))
        tell(entry.num_bytes)
        return of_shard

    damage: Damage = {}
    with ThreadPoolExecutor(max(threads, 1), "checksum") as pool:
        for of_shard in pool.map(check, entries):
            damage |= of_shard
    return damage


def find_discord(directory: Path) -> Damage:
    """Tell whether files that are whole each do not fit together, or the plan is damaged."""
    try:
        if (directory / PLAN).exists():
            read_object(read_bytes(directory / PLAN), str(directory / PLAN))
        ShardReader(directory)
    except DamagedShardsError as error:
        return {error.path.name if error.path != directory else MANIFEST: error.what}
    return {}


def _check(directory: Path, entry: ShardEntry) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a shard, and with its index."""
    tar, index = directory / entry.name, index_of(directory, entry)
    try:
        check_there(directory, entry)
        if not check_again(tar, entry):
            yield tar.name, DAMAGED
    except (DamagedShardsError, OSError) as error:
        yield tar.name, _say(error)
    if index.exists():
        try:
            read_index(directory, entry)
        except (DamagedShardsError, OSError) as error:
            yield index.name, _say(error)


def _say(error: DamagedShardsError | OSError) -> str:
    return error.what if isinstance(error, DamagedShardsError) else f"cannot be read ({error.strerror})"
