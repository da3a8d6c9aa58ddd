"""A mapped file is its bytes, and takes no handle of the process."""

import os
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from dataengine.mapped import MappedFile


def test_a_map_is_the_file_holds_no_handle_and_outlives_its_name(tmp_path: Path) -> None:
    path, data = tmp_path / "file", os.urandom(100_000)
    path.write_bytes(data)
    maps = [MappedFile(path) for _ in range(20)]
    held = [handle.readlink() for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()]
    assert path not in held
    path.unlink()
    maps[0].will_need([(0, 10), (99_990, 10), (5000, 0)])
    assert all(one.view == data and one.view.readonly and len(one) == len(data) for one in maps)


def test_a_file_that_was_cut_short_since_is_named_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    mapped = MappedFile(path)
    mapped.check()
    os.truncate(path, 50_000)
    with pytest.raises(DataEngineError, match=r"file: found 50000 bytes, 100000 when it was opened: it was cut short"):
        mapped.check()
    path.rename(tmp_path / "elsewhere")
    path.write_bytes(b"another file of that name")
    mapped.check()
