"""A corpus of an object store on this machine: its rows are copied when it is opened, its frames as they are wanted.

Windows are drawn from all episodes evenly, so what a machine keeps of a corpus helps by the share that it has of it:
one with less room than the corpus needs keeps nothing, and reads each frame from the store.
"""

import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath
from typing import Final

import lance

from dataengine.copies import COPIED_AT_ONCE, Copies, again
from dataengine.digest import hex_digest
from dataengine.errors import CorpusError
from dataengine.storage import Folder, is_uri

Fetch = Callable[[str], object]
"""Brings a file of a table here, by its path on this machine."""
_LARGE_BYTES: Final = 1e9
"""Copying as much takes long enough to be told of."""


def copied(table: lance.LanceDataset, max_bytes: float) -> tuple[lance.LanceDataset, Fetch | None]:
    """Give a table's copy on this machine and what brings its frames there; the table itself where that cannot be."""
    if not max_bytes or not is_uri(table.uri.removeprefix("file://")):
        return table, None
    sizes = again(table.uri, Folder(table.uri).tree)
    rows, frames = _files(table, sizes)
    num_bytes = sum(sizes[name] for name in (*rows, *frames))
    if num_bytes > max_bytes:
        _tell(
            f"{table.uri}: {num_bytes / 1e9:.3g} GB, room for copies of {max_bytes / 1e9:.3g} GB: each frame is read "
            f"from the store, again in each pass; set copies_gb={math.ceil(num_bytes / 1e9)}"
        )
        return table, None
    copies = Copies(table.uri, hex_digest("\n".join(rows)), max_bytes)
    missing = [name for name in rows if not (copies.directory / name).exists()]
    if (num_missing := sum(sizes[name] for name in missing)) > _LARGE_BYTES:
        _tell(f"{table.uri}: copying {num_missing / 1e9:.3g} GB to {copies.directory}; frames follow when wanted")
    with ThreadPoolExecutor(COPIED_AT_ONCE, "copy") as pool:
        list(pool.map(lambda name: copies.copy(name, sizes[name]), rows))
    return lance.dataset(str(copies.directory), version=table.version), partial(_fetch, copies, sizes)


def _fetch(copies: Copies, sizes: dict[str, int], path: str) -> None:
    name = str(PurePosixPath(path).relative_to(copies.directory))
    if name in sizes:  # else whoever reads it says that it is missing
        copies.copy(name, sizes[name])


def _files(table: lance.LanceDataset, sizes: dict[str, int]) -> tuple[list[str], list[str]]:
    """List the files of a version: what its rows are, and the frames beside them."""
    version = table.version
    manifests = [f"_versions/{name}.manifest" for name in (f"{2**64 - 1 - version:020d}", str(version))]
    rows = [name for name in manifests if name in sizes][:1]
    data = set[str]()
    for fragment in table.get_fragments():
        data.update(f"data/{file.path}" for file in fragment.metadata.files)
        rows += [deleted] if (deleted := fragment.deletion_file()) else []
    rows += sorted(data)
    if gone := [name for name in rows if name not in sizes]:
        raise CorpusError(f"{table.uri}: version {version} lacks {gone[0]}; `villa corpus verify` looks for more")
    folders = {name.removesuffix(".lance") for name in data}
    return rows, [name for name in sizes if name.endswith(".blob") and str(PurePosixPath(name).parent) in folders]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
