"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from dataengine.whole_file import is_partial, whole_file, write_whole


def test_a_file_keeps_its_old_bytes_until_the_new_ones_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "below" / "report.json"
    write_whole(file, "old")
    with whole_file(file) as partial:
        partial.write_text("half")
        assert file.read_text() == "old"
        assert is_partial(partial.name)
        partial.write_text("new")
    assert file.read_text() == "new"
    assert [path.name for path in file.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize("durable", [False, True])
def test_who_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / ".marker.json"
    write_whole(path, b"old", durable=durable)
    with pytest.raises(KeyboardInterrupt), whole_file(path, durable=durable) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_can_be_written_aside(tmp_path: Path) -> None:
    path, aside = tmp_path / "data" / "a.txt", tmp_path / "aside"
    with whole_file(path, aside=aside) as partial:
        partial.write_text("new")
        assert partial.parent == aside
        assert not list(path.parent.iterdir())
    assert path.read_text() == "new"
