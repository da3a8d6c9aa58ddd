"""A root of human video that is a level too high or too low: the folder that is meant is named."""

from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.errors import SourceError
from tests.support import human_trees

SOURCES = sorted(set(human_trees.WRITERS) - {"video/folder"})


@pytest.mark.parametrize("source", SOURCES)
def test_the_folder_that_is_meant_is_named(tmp_path: Path, source: str) -> None:
    folder, write = human_trees.WRITERS[source]
    if source == "egohod":
        human_trees.write_ego4d(tmp_path / folder)
    root = tmp_path / folder
    write(root)
    (root / "a folder of something else").mkdir()
    too_high = [] if source == "rh20t_human" else [tmp_path]  # which takes configurations of a level below, too
    for wrong in (*too_high, root / "a folder of something else"):
        with pytest.raises(SourceError) as error:
            catalog.source(source)(str(wrong)).parts()
        assert str(error.value).endswith(f"; {root} is such a folder, pass that")
        assert "\n" not in str(error.value)
    assert catalog.source(source)(str(root)).parts()


def test_any_folder_may_hold_videos_so_none_is_guessed(tmp_path: Path) -> None:
    human_trees.write_folder(tmp_path)
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(SourceError, match="found no video, expected a folder of videos") as error:
        catalog.source("video/folder")(str(tmp_path / "empty")).parts()
    assert "is such a folder" not in str(error.value)
