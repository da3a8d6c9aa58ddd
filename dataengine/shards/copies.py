"""Shards of an object store on this machine, each compared with the checksum that the manifest has of it."""

import hashlib
import math
import sys
from pathlib import Path

from dataengine.copies import Copies, again
from dataengine.errors import DataEngineError
from dataengine.shards import checks
from dataengine.shards.manifest import MANIFEST, DamagedShardsError, Manifest, ShardEntry, index_of
from dataengine.storage import Folder, join


class ShardCopies:
    """Copies of the files of one folder of shards; `max_bytes` are of all that is copied to this machine."""

    def __init__(self, uri: str, max_bytes: float) -> None:
        self.uri, self._max_bytes = uri, max_bytes
        try:
            data = again(join(uri, MANIFEST), lambda: Folder(uri).read(MANIFEST))
        except FileNotFoundError as error:
            raise DataEngineError(
                f"{uri}: found unfinished shards, expected a folder that `villa shard` finished"
            ) from error
        self._copies = Copies(uri, hashlib.sha256(data).hexdigest(), max_bytes)
        self.directory = self._copies.directory
        self._copies.write(MANIFEST, data)

    def check(self, known: Manifest) -> None:
        """Raise DataEngineError unless the store has every shard; say where they are more than fit here."""
        sizes = again(self.uri, Folder(self.uri).sizes)
        for entry in known.shards:
            if sizes.get(entry.name) != entry.num_bytes:
                size = sizes.get(entry.name, 0)
                where = join(self.uri, entry.name)
                raise DamagedShardsError(where, f"{size} bytes are there, its manifest says {entry.num_bytes}")
        self._copies.make_room()
        if known.num_bytes > self._max_bytes:
            size_gb, room_gb = known.num_bytes / 1e9, self._max_bytes / 1e9
            print(  # noqa: T201
                f"{self.uri}: shards of {size_gb:.3g} GB, room for copies of {room_gb:.3g} GB: windows are drawn from "
                f"all of them, so many wait for a whole shard; set copies_gb={math.ceil(size_gb)}, or train from the "
                f"corpus, which is read by the frame",
                file=sys.stderr,
            )

    def shard(self, entry: ShardEntry) -> Path:
        """Give a copy of a shard."""
        return self._copies.copy(
            entry.name, entry.num_bytes, entry.sha256, copied=lambda path: checks.remember(path, entry)
        )

    def index(self, entry: ShardEntry) -> Path:
        """Give a copy of its index."""
        return self._copies.copy(index_of(self.directory, entry).name, sha256=entry.index_sha256)
