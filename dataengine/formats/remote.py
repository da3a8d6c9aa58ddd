"""Raw files on a disk or in an object store, read only; nobody knows what lies there."""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pyarrow import fs

from dataengine.errors import DataEngineError, SourceError
from dataengine.storage import file_system, is_uri, unreachable

BUFFER_BYTES = 2**23
"""Read ahead from an object store: a request costs tens of milliseconds."""


@dataclass(frozen=True)
class FileInfo:
    """One file or folder in a listing."""

    is_folder: bool
    num_bytes: int
    modified_ns: int


def listing(folder: str | os.PathLike[str]) -> Mapping[str, FileInfo] | None:
    """List what lies directly in a folder; None when there is no such folder. One request for an object store."""
    text = os.fspath(folder)
    if not is_uri(text):
        if not Path(text).is_dir():
            return None
        listed = {}
        with os.scandir(text) as entries:
            for entry in entries:
                try:
                    facts = entry.stat()
                except FileNotFoundError:  # a link to nothing
                    continue
                except OSError:  # who opens it will be told why
                    listed[entry.name] = FileInfo(is_folder=False, num_bytes=0, modified_ns=0)
                    continue
                listed[entry.name] = FileInfo(entry.is_dir(), facts.st_size, facts.st_mtime_ns)
        return listed
    system, path = _system(text)
    try:
        infos = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    except OSError as error:
        raise _unreachable(text, error) from error
    if not infos:  # an object store has no empty folders
        return None
    return {
        info.base_name: FileInfo(info.type == fs.FileType.Directory, info.size or 0, info.mtime_ns or 0)
        for info in infos
    }


def entry(uri: str | os.PathLike[str]) -> FileInfo | None:
    """Look at one file or folder; None when it is not there."""
    text = os.fspath(uri)
    if not is_uri(text):
        facts = look(text)
        return None if facts is None else FileInfo(stat.S_ISDIR(facts.st_mode), facts.st_size, facts.st_mtime_ns)
    system, path = _system(text)
    try:
        info = system.get_file_info(path)
    except OSError as error:
        raise _unreachable(text, error) from error
    if info.type == fs.FileType.NotFound:
        return None
    return FileInfo(info.type == fs.FileType.Directory, info.size or 0, info.mtime_ns or 0)


def open_file(uri: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to be read from its start; raise OSError when it cannot be, as a pipe or a device is no file."""
    text = os.fspath(uri)
    if not is_uri(text):
        facts = look(text)
        if facts is not None and not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            raise OSError(errno.EINVAL, "it is no regular file", text)
        return Path(text).open("rb")
    system, path = _system(text)
    return cast(BinaryIO, system.open_input_stream(path, buffer_size=BUFFER_BYTES))


def look(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Look at a file or folder of this machine; None when it is not there, also for a name that no file can have."""
    try:
        return Path(path).stat()
    except ValueError:  # a zero byte, or a letter that no file system takes
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise


def _system(uri: str) -> tuple[fs.FileSystem, str]:
    try:
        return file_system(uri)
    except DataEngineError as error:
        raise SourceError(str(error)) from error


def _unreachable(uri: str, error: Exception) -> SourceError:
    return SourceError(unreachable(uri, error))
