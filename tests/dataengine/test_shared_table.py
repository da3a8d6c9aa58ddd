import multiprocessing
import os
from pathlib import Path

import pyarrow as pa
import pytest

from dataengine import shared_table
from dataengine.shared_table import MIN_ROWS, folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder()


def numbers() -> pa.Table:
    letters = pa.array(["a", "b", None] * MIN_ROWS).dictionary_encode()
    return pa.table({"x": pa.array(range(3 * MIN_ROWS), pa.uint32()), "word": letters}).replace_schema_metadata(
        {"k": "v"}
    )


class Made:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> pa.Table:
        self.count += 1
        return numbers()


def test_a_table_is_made_once_and_is_the_same_from_its_file() -> None:
    make = Made()
    tables = [shared_table.shared_table("key", 3 * MIN_ROWS, make) for _ in range(3)]
    assert make.count == 1
    assert all(table.equals(numbers(), check_metadata=True) for table in tables)
    assert all(column.num_chunks == 1 for column in tables[0].columns)
    assert not shared_table.shared_table("other", 3 * MIN_ROWS, lambda: pa.table({"x": [1]})).equals(numbers())


def test_a_small_table_leaves_no_file(cache: Path) -> None:
    shared_table.shared_table("key", MIN_ROWS - 1, numbers)
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_made_again(cache: Path, damage: str) -> None:
    shared_table.shared_table("key", MIN_ROWS, numbers)
    (file,) = cache.glob("*.arrow")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    changed = {"cut": data[: len(data) // 2], "flipped": data, "empty": b"", "foreign": b"no table" * 100}[damage]
    file.write_bytes(bytes(changed))
    make = Made()
    assert shared_table.shared_table("key", MIN_ROWS, make).equals(numbers())
    assert make.count == 1
    assert shared_table.shared_table("key", MIN_ROWS, make).equals(numbers())
    assert make.count == 1


def test_where_no_file_can_be_written_everybody_makes_the_table(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert shared_table.shared_table("key", MIN_ROWS, numbers).equals(numbers())


def test_files_that_nobody_opens_for_long_go_when_another_is_made(cache: Path) -> None:
    for key in ("old", "used"):
        shared_table.shared_table(key, MIN_ROWS, numbers)
    for file in cache.glob("*.arrow"):
        os.utime(file, (0, 0))
    shared_table.shared_table("used", MIN_ROWS, numbers)
    shared_table.shared_table("new", MIN_ROWS, numbers)
    assert len(list(cache.glob("*.arrow"))) == 2


def make_noting(folder: Path) -> pa.Table:
    (folder / str(os.getpid())).touch()
    return numbers()


def share(folder: Path, barrier) -> None:
    barrier.wait()
    table = shared_table.shared_table("key", MIN_ROWS, lambda: make_noting(folder))
    assert table.equals(numbers())


def test_of_processes_that_want_it_at_once_one_makes_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    made, barrier = tmp_path / "made", fork.Barrier(4)
    made.mkdir()
    ranks = [fork.Process(target=share, args=(made, barrier)) for _ in range(4)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * 4
    assert len(list(made.iterdir())) == 1
