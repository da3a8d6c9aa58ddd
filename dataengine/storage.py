"""Folders on a disk of this machine or in an object store (`s3://`, `gs://`), through pyarrow's file systems.

A URI may say how to reach its store: `s3://bucket/folder?region=eu-west-1`, `gs://anonymous@bucket/folder` for a public
bucket. Credentials come from where the store's own tools look for them.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from pyarrow import fs

from dataengine.errors import DataEngineError
from dataengine.whole_file import flush, whole_file, write_whole


def is_uri(uri: str | os.PathLike[str]) -> bool:
    """Tell a URI, of an object store, from a path on this machine."""
    return "://" in os.fspath(uri)


def normal_uri(uri: str | os.PathLike[str]) -> str:
    """Make a local path absolute; leave a URI of an object store as it is."""
    text = os.fspath(uri).removeprefix("file://")
    return text.rstrip("/") if is_uri(text) else str(Path(text).expanduser().resolve())


def join(folder: str | os.PathLike[str], name: str) -> str:
    """Name a file below a folder; what a URI says after its `?` stays at its end."""
    text = os.fspath(folder)
    if not is_uri(text):
        return str(Path(text) / name)
    base, mark, query = text.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def make_durable(paths: Iterable[str]) -> None:
    """Have a disk keep these files and their names even if the power goes now; object stores do so by themselves."""
    local = [Path(path) for path in paths if not is_uri(path)]
    for path in (*local, *sorted({path.parent for path in local})):
        flush(path)


def file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """Give what reads and writes at a place, and the place's path in it; raise DataEngineError where there is none."""
    if not is_uri(uri):
        return fs.LocalFileSystem(), uri
    scheme, _, rest = uri.partition("://")
    path, mark, query = rest.partition("?")
    bucket, _, key = path.partition("/")
    try:
        return _connect(scheme, bucket, mark + query), f"{bucket.rpartition('@')[2]}/{key}".rstrip("/")
    except (ValueError, OSError) as error:
        raise DataEngineError(unreachable(uri, error)) from error


@lru_cache(maxsize=64)
def _connect(scheme: str, bucket: str, query: str) -> fs.FileSystem:
    """One client for each bucket and process: it keeps its connections."""
    return fs.FileSystem.from_uri(f"{scheme}://{bucket}/{query}")[0]


def unreachable(uri: str, error: Exception) -> str:
    """Say in a line why a place cannot be reached, and what would be one."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{uri}: cannot reach it ({first}); expected a path, s3:// or gs:// and the right to read it"


@dataclass(frozen=True)
class Folder:
    """A flat folder, which need not exist yet; its files are there whole or not at all."""

    uri: str

    def entries(self) -> dict[str, int]:
        """Bytes of each file by its name, 0 for each folder; empty when this folder does not exist."""
        return {info.base_name: info.size or 0 for info in self._look()}

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name; empty when the folder does not exist."""
        return {info.base_name: info.size for info in self._look() if info.type == fs.FileType.File}

    def is_empty(self) -> bool:
        """Tell whether there is no file, without listing a disk's folder to its end; so it is without a folder."""
        if is_uri(self.uri):
            return not self.sizes()
        try:
            with os.scandir(self.uri) as entries:
                return not any(entry.is_file() for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return True

    def tree(self) -> dict[str, int]:
        """Bytes of each file in the folder and below it, by its path from here."""
        _, path = file_system(self.uri)
        infos = self._look(recursive=True)
        return {info.path[len(path) + 1 :]: info.size for info in infos if info.type == fs.FileType.File}

    def modified_ns(self) -> dict[str, int]:
        """Time of each file by its name, by the clock of whoever keeps them."""
        return {info.base_name: info.mtime_ns or 0 for info in self._look() if info.type == fs.FileType.File}

    def _look(self, *, recursive: bool = False) -> list[fs.FileInfo]:
        system, path = file_system(self.uri)
        return system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=recursive))

    def sizes_of(self, paths: Sequence[str]) -> list[int | None]:
        """Bytes of each of these files below the folder, None for one that is not there."""
        system, path = file_system(self.uri)
        return [info.size for info in system.get_file_info([f"{path}/{below}" for below in paths])]

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        system, path = file_system(self.uri)
        with system.open_input_stream(f"{path}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        """Write one small file so that a reader sees all of it or nothing, also after a crash."""
        if not is_uri(self.uri):
            write_whole(Path(self.uri, name), data, durable=True)
            return
        system, path = file_system(self.uri)
        with system.open_output_stream(f"{path}/{name}") as stream:  # an object appears once its upload is complete
            stream.write(data)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[BinaryIO]:
        """Write one large file piece by piece; it takes its name when the block ends."""
        if not is_uri(self.uri):
            with whole_file(Path(self.uri, name)) as partial, partial.open("wb") as file:
                yield file
            return
        system, path = file_system(self.uri)
        partial_name = f"{path}/{name}.partial"  # closing a stream uploads what it has, also after an error
        try:
            with system.open_output_stream(partial_name) as stream:
                yield cast(BinaryIO, stream)
            system.move(partial_name, f"{path}/{name}")
        except BaseException:
            with contextlib.suppress(OSError):
                system.delete_file(partial_name)
            raise

    def delete(self, name: str) -> None:
        """Delete one file; it may be gone already."""
        system, path = file_system(self.uri)
        with contextlib.suppress(FileNotFoundError):
            system.delete_file(f"{path}/{name}")
