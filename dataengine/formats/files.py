"""Places and fingerprints of raw files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dataengine.errors import SourceError

EDGE_BYTES = 65_536


def fingerprint(paths: Iterable[Path], *extra: str) -> str:
    """Hash the size and both ends (64 KiB) of each file, and any `extra` words: cheap, and moves with the bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for word in extra:
        digest.update(word.encode() + b"\x1f")
    for path in paths:
        if not path.is_file():
            digest.update(b"missing\x1f")
            continue
        size = path.stat().st_size
        digest.update(f"{size}\x1f".encode())
        with path.open("rb") as file:
            digest.update(file.read(EDGE_BYTES))
            if size > EDGE_BYTES:
                file.seek(max(EDGE_BYTES, size - EDGE_BYTES))
                digest.update(file.read(EDGE_BYTES))
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
