from pathlib import Path

import pytest

from dataengine.errors import CorpusError
from dataengine.store.places import Folder, normal_uri


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
    with pytest.raises(CorpusError, match=r"^gopher://x: cannot reach it .*expected a path, s3:// or gs://$"):
        Folder("gopher://x").sizes()


def test_local_places_become_absolute_and_object_stores_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert normal_uri("corpus") == normal_uri(f"file://{tmp_path}/corpus") == str(tmp_path / "corpus")
    assert normal_uri("s3://bucket/corpus/") == "s3://bucket/corpus"
