from pathlib import Path

from dataengine.episode import Text
from tests.support.openx_case import case_of, read_one
from tests.support.openx_values import T


def test_the_task_holds_throughout_and_each_of_its_parts_where_it_is_done(tmp_path: Path) -> None:
    assert read_one("fmb", tmp_path, case_of("fmb")).texts == (
        Text(0, T, ("Pick up the peg and insert it.",)),
        Text(0, 3, ("Pick up the peg.",)),
        Text(3, T, ("Insert the peg.",)),
    )
