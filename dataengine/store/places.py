"""Where a corpus lies: paths of its tables, and small files written all at once or not at all."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyarrow import fs

from dataengine.errors import CorpusError
from dataengine.whole_file import flush, write_whole


def normal_uri(uri: str | os.PathLike[str]) -> str:
    """Make a local path absolute; leave a URI of an object store as it is."""
    text = os.fspath(uri).removeprefix("file://")
    return text.rstrip("/") if "://" in text else str(Path(text).expanduser().resolve())


def table_uri(corpus: str, table: str) -> str:
    """Place of one table of a corpus."""
    return f"{corpus}/{table}.lance"


def is_local(uri: str) -> bool:
    """Tell whether a place lies on a disk of this machine."""
    return "://" not in uri


def make_durable(paths: Iterable[str]) -> None:
    """Have a disk keep these files and their names even if the power goes now; object stores do so by themselves."""
    local = [Path(path) for path in paths if is_local(path)]
    for path in (*local, *sorted({path.parent for path in local})):
        flush(path)


@dataclass(frozen=True)
class Folder:
    """A flat folder on a disk or in an object store."""

    uri: str

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        try:
            return fs.FileSystem.from_uri(self.uri)
        except (ValueError, OSError) as error:
            raise CorpusError(f"{self.uri}: cannot reach it ({error}); expected a path, s3:// or gs://") from error

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name; empty when the folder does not exist."""
        system, path = self._place
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def is_empty(self) -> bool:
        """Tell whether there is no file, without listing a disk's folder to its end; so it is without a folder."""
        if not is_local(self.uri):
            return not self.sizes()
        try:
            with os.scandir(self.uri) as entries:
                return not any(entry.is_file() for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return True

    def tree(self) -> dict[str, int]:
        """Bytes of each file in the folder and below it, by its path from here."""
        system, path = self._place
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
        return {info.path[len(path) + 1 :]: info.size for info in found if info.type == fs.FileType.File}

    def modified_ns(self) -> dict[str, int]:
        """Time of each file by its name, by the clock of whoever keeps them."""
        system, path = self._place
        found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return {info.base_name: info.mtime_ns or 0 for info in found if info.type == fs.FileType.File}

    def sizes_of(self, paths: Sequence[str]) -> list[int | None]:
        """Bytes of each of these files below the folder, None for one that is not there."""
        system, path = self._place
        return [info.size for info in system.get_file_info([f"{path}/{below}" for below in paths])]

    def read(self, name: str) -> bytes:
        """Read one file whole."""
        system, path = self._place
        with system.open_input_stream(f"{path}/{name}") as stream:
            return stream.read()

    def write(self, name: str, data: bytes) -> None:
        """Write one file so that a reader sees all of it or nothing, also after a crash."""
        if not is_local(self.uri):  # an object appears only once its upload is complete
            system, path = self._place
            with system.open_output_stream(f"{path}/{name}") as stream:
                stream.write(data)
            return
        write_whole(Path(self.uri, name), data, durable=True)

    def delete(self, name: str) -> None:
        """Delete one file; it may be gone already."""
        system, path = self._place
        with contextlib.suppress(FileNotFoundError):
            system.delete_file(f"{path}/{name}")
