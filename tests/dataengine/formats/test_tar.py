"""Indexing a tar in place: what tarfile wrote is found where tarfile says it is, and damage says where it begins."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from dataengine.errors import RecordError
from dataengine.formats import tar
from dataengine.formats.byte_range import ByteRange
from tests.support.tar_files import FORMATS, LONG, write


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tar._index.cache_clear()
    return tmp_path / "cache" / "villa-engine" / "tar"


def write_sparse(path: Path, sizes: dict[str, int], kind: int = tarfile.GNU_FORMAT) -> Path:
    """Write headers only, as far apart as their sizes say: gigabytes that take no room."""
    with path.open("wb") as file:
        for name, size in sizes.items():
            info = tarfile.TarInfo(name)
            info.size = size
            file.write(info.tobuf(kind))
            file.seek(-(-size // 512) * 512, os.SEEK_CUR)
        file.write(bytes(1024))
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_members_lie_where_tarfile_finds_them(tmp_path: Path, kind: str) -> None:
    contents = {"./1/a.h5": b"x" * 700, LONG: b"y" * 512, "empty.h5": b"", "1/a.png": b"z" * 3000, "2/ä.h5": b"w"}
    path = write(tmp_path / "a.tar", contents, FORMATS[kind])
    index = tar.index(path, (".h5",))
    assert index.fault is None
    assert sorted(index.members) == sorted(name.removeprefix("./") for name in contents if name.endswith("h5"))
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith("h5"):
                assert index.members[member.name.removeprefix("./")] == [(member.offset_data, member.size)]
    for name, data in contents.items():
        for offset, size in index.members.get(name.removeprefix("./"), []):
            with ByteRange(path, offset, size, name).open() as file:
                assert file.read() == data
                assert file.seek(-min(1, size), os.SEEK_END) == max(0, size - 1)
                assert file.read(99) == data[-1:]


def test_a_name_that_comes_twice_is_found_twice_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {"1/a.h5": b"first"})
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("1/a.h5")
        info.size = 6
        archive.addfile(info, io.BytesIO(b"second"))
    assert [size for _, size in tar.index(path, (".h5",)).members["1/a.h5"]] == [5, 6]


def test_links_and_folders_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("d.h5", tarfile.DIRTYPE), ("s.h5", tarfile.SYMTYPE), ("h.h5", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("f.h5"))
    assert list(tar.index(path, (".h5",)).members) == ["f.h5"]


def test_names_that_lead_out_of_the_archive_are_told_apart(tmp_path: Path) -> None:
    names = ["../a.h5", "/a.h5", "1/../../a.h5", "1/..a.h5"]
    index = tar.index(write(tmp_path / "a.tar", dict.fromkeys(names, b"x")), (".h5",))
    assert (index.unsafe, list(index.members)) == (names[:3], names[3:])


def test_members_beyond_four_and_of_over_eight_gigabytes_are_found(tmp_path: Path) -> None:
    sizes = {f"{i}.h5": 3 * 2**30 + i for i in range(3)} | {"large.h5": 9 * 2**30, "last.h5": 5}
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = write_sparse(tmp_path / f"{kind}.tar", sizes, kind)
        index = tar.index(path, (".h5",))
        with tarfile.open(path) as archive:
            assert index.members == {m.name: [(m.offset_data, m.size)] for m in archive}


def test_a_cut_archive_keeps_what_is_whole_and_says_where_it_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {f"{i}.h5": bytes([65 + i]) * 2000 for i in range(3)})
    whole = path.read_bytes()
    for cut, names, fault in (
        (2560, ["0.h5"], "ends at byte 2560 without an end mark; cut off"),
        (2600, ["0.h5"], "ends at byte 2600 without an end mark; cut off"),
        (3100, ["0.h5"], "ends at byte 3100, within a member that goes on to byte 5072; cut off"),
        (0, [], "ends at byte 0 without an end mark; cut off"),
    ):
        path.write_bytes(whole[:cut])
        index = tar.index(path, (".h5",))
        assert (list(index.members), index.fault) == (names, fault)


def test_a_damaged_header_ends_the_walk_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {f"{i}.h5": b"x" * 10 for i in range(3)})
    whole = path.read_bytes()
    for at, value in ((1024 + 130, b"9"), (1024 + 3, b"?"), (1024 + 124, b"-0000000012")):
        path.write_bytes(whole[:at] + value + whole[at + len(value) :])
        index = tar.index(path, (".h5",))
        assert (list(index.members), index.fault) == (
            ["0.h5"],
            f"byte 1024 of {len(whole)} is no header that can be read; damaged",
        )


def test_a_pax_size_that_is_negative_ends_the_walk(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.h5")
        info.pax_headers = {"size": "-1024"}
        archive.addfile(info)
    assert "damaged" in (tar.index(path, (".h5",)).fault or "")


def test_what_is_no_archive_and_what_is_not_there_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"<html>not found</html>" * 100)
    assert tar.index(tmp_path / "a.tar", (".h5",)).fault == "byte 0 of 2200 is no header that can be read; damaged"
    with pytest.raises(RecordError, match=r"b.tar: cannot be read \(No such file or directory\)"):
        tar.index(tmp_path / "b.tar", (".h5",))


def test_a_long_walk_is_kept_for_other_processes_until_the_archive_changes(tmp_path: Path, cache: Path) -> None:
    path = write_sparse(tmp_path / "a.tar", {f"{i}.h5": 100_000 for i in range(tar.MIN_HEADERS)})
    first = tar.index(path, (".h5",))
    (kept,) = cache.iterdir()
    tar._index.cache_clear()
    kept.write_text(kept.read_text().replace('"1999.h5"', '"kept.h5"'))
    again = tar.index(path, (".h5",))
    assert "kept.h5" in again.members  # it was not walked
    assert {
        name: [tuple(byte_range) for byte_range in ranges]
        for name, ranges in again.members.items()
        if name != "kept.h5"
    } == {name: ranges for name, ranges in first.members.items() if name != "1999.h5"}
    tar._index.cache_clear()
    kept.write_text("[{")
    assert tar.index(path, (".h5",)) == first
    os.utime(path, (1, 1))
    assert tar.index(path, (".h5",)) == first
    assert len(list(cache.iterdir())) == 2
    assert list(tmp_path.glob("*.json")) == []


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = write_sparse(tmp_path / "a.tar", {f"{i}.h5": 1 for i in range(tar.MIN_HEADERS)})
    assert len(tar.index(path, (".h5",)).members) == tar.MIN_HEADERS
