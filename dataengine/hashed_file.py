"""A file whose bytes are hashed and counted while they are written."""

import hashlib
from typing import BinaryIO


class HashedFile:
    """Hashes and counts what goes into a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._digest = stream, hashlib.sha256()
        self.num_bytes = 0

    def write(self, data: bytes) -> int:
        """Append; as a file does."""
        self._digest.update(data)
        self._stream.write(data)
        self.num_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        """Count the bytes written so far."""
        return self.num_bytes

    @property
    def sha256(self) -> str:
        """Hash of all that was written."""
        return self._digest.hexdigest()
