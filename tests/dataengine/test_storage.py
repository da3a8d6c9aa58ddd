from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from dataengine.storage import Folder, is_uri, normal_uri


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_on_a_disk_and_one_behind_a_uri_behave_alike(tmp_path: Path, scheme: str) -> None:
    """What holds for file:// goes through the code that object stores use."""
    (tmp_path / "staging").mkdir()
    folder = Folder(f"{scheme}{tmp_path}/staging")
    assert folder.sizes() == {}
    folder.write("a.json", b"first")
    folder.write("a.json", b"second one")
    folder.write("b.json", b"x")
    assert folder.sizes() == {"a.json": 10, "b.json": 1}
    assert folder.sizes_of(["b.json", "nothing", "a.json"]) == [1, None, 10]
    assert folder.read("a.json") == b"second one"
    folder.delete("a.json")
    folder.delete("a.json")
    assert folder.sizes() == {"b.json": 1}


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a.json", b"old")

    def refuse(_: int) -> None:
        raise OSError("disk gone")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk gone"):
        folder.write("a.json", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert folder.read("a.json") == b"old"


def test_a_folder_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert Folder(str(tmp_path / "nowhere")).sizes() == {}


def test_a_scheme_that_nobody_knows_is_refused_in_one_line() -> None:
    with pytest.raises(
        DataEngineError,
        match=r"^gopher://x: cannot reach it .*expected a path, s3:// or gs:// and the right to read it$",
    ):
        Folder("gopher://x").sizes()


def test_local_places_become_absolute_and_object_stores_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert normal_uri("corpus") == normal_uri(f"file://{tmp_path}/corpus") == str(tmp_path / "corpus")
    assert normal_uri("s3://bucket/corpus/") == "s3://bucket/corpus"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_large_file_has_its_name_once_it_is_whole(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "shards").mkdir()
    folder = Folder(f"{scheme}{tmp_path}/shards")
    with folder.writer("a.tar") as file:
        file.write(b"half")
        assert "a.tar" not in folder.sizes()
        file.write(b" and half")
    assert folder.read("a.tar") == b"half and half"
    with pytest.raises(KeyboardInterrupt), folder.writer("a.tar") as file:
        file.write(b"other")
        raise KeyboardInterrupt
    assert folder.entries() == {"a.tar": 13}


def test_folders_are_entries_and_no_files(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    assert Folder(str(tmp_path)).sizes() == {}
    assert Folder(str(tmp_path)).entries() == {"below": 0}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("s3://b/a", True), ("gs://b", True), ("/data/a", False), ("a:/b", False), (Path("a"), False)],
)
def test_a_uri_is_told_from_a_path(path: str | Path, expected: bool) -> None:
    assert is_uri(path) == expected
