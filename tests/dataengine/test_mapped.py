"""A mapped file is its bytes, and takes no handle of the process."""

import os
from pathlib import Path

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
