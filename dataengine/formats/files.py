"""Places and fingerprints of raw files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dataengine.errors import SourceError

EDGE_BYTES = 65_536


def fingerprint(path: Path) -> str:
    """Hash the size and both ends (64 KiB) of a large file: cheap, and moves with the bytes."""
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(EDGE_BYTES))
        file.seek(max(0, size - EDGE_BYTES))
        digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()


def fingerprint_of_sizes(paths: Iterable[Path], *extra: str) -> str:
    """Hash the names and sizes of many small files, and any `extra` words, without opening them."""
    digest = hashlib.blake2b(digest_size=16)
    sizes = (f"{path.name} {path.stat().st_size if path.is_file() else 'missing'}" for path in paths)
    for word in (*extra, *sizes):
        digest.update(word.encode() + b"\x1f")
    return digest.hexdigest()


def folder(root: str | Path, expected: str) -> Path:
    """Return an existing, non-empty folder, or say what is wrong with it."""
    place = Path(root)
    if not place.exists():
        raise SourceError(f"{place}: found nothing, expected {expected}; check the path")
    if not place.is_dir():
        raise SourceError(f"{place}: found a file, expected {expected}; pass the folder")
    if not any(place.iterdir()):
        raise SourceError(f"{place}: found an empty folder, expected {expected}; download the dataset first")
    return place
