"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from dataengine.whole_file import is_partial, whole_file, write_whole


def test_a_file_keeps_its_old_bytes_until_the_new_ones_are_whole(tmp_path: Path) -> None:
    place = tmp_path / "below" / "report.json"
    write_whole(place, "old")
    with whole_file(place) as partial:
        partial.write_text("half")
        assert place.read_text() == "old"
        assert is_partial(partial.name)
        partial.write_text("new")
    assert place.read_text() == "new"
    assert [path.name for path in place.parent.iterdir()] == ["report.json"]


@pytest.mark.parametrize("durable", [False, True])
def test_who_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, durable: bool) -> None:
    place = tmp_path / ".marker.json"
    write_whole(place, b"old", durable=durable)
    with pytest.raises(KeyboardInterrupt), whole_file(place, durable=durable) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_can_be_written_aside(tmp_path: Path) -> None:
    place, aside = tmp_path / "data" / "a.txt", tmp_path / "aside"
    with whole_file(place, aside=aside) as partial:
        partial.write_text("new")
        assert partial.parent == aside
        assert not list(place.parent.iterdir())
    assert place.read_text() == "new"
