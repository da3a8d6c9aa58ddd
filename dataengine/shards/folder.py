"""The folder of shards, on a disk or in an object store: a file is there whole or not at all."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from dataengine.errors import DataEngineError


class HashedFile:
    """Hashes and counts what goes into a stream."""

    def __init__(self, stream: pa.NativeFile) -> None:
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


class ShardFolder:
    """Writes and reads files of a folder, which need not exist yet."""

    def __init__(self, uri: str | Path) -> None:
        text = str(uri)
        self.uri = text.rstrip("/") if "://" in text else str(Path(text).expanduser().absolute())
        try:
            self._system, path = fs.FileSystem.from_uri(self.uri)
        except (ValueError, OSError) as error:
            raise DataEngineError(f"{text}: cannot reach it ({error}); expected a path, s3:// or gs://") from error
        self._path = path.rstrip("/")

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name; folders count as empty files."""
        found = self._system.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        return {info.base_name: info.size or 0 for info in found}

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        with self._system.open_input_stream(f"{self._path}/{name}") as stream:
            return bytes(stream.read())

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[HashedFile]:
        """Write one file, which takes its name when all of it is there; whoever fails leaves `<name>.partial`."""
        if isinstance(self._system, fs.LocalFileSystem):
            self._system.create_dir(self._path)
        draft = f"{self._path}/{name}.partial"
        with self._system.open_output_stream(draft) as stream:
            yield HashedFile(stream)
        self._system.move(draft, f"{self._path}/{name}")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write one small file."""
        with self.write(name) as file:
            file.write(data)
