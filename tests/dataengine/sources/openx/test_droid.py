from pathlib import Path

from dataengine.episode import Episode, Reject, Text
from tests.support.openx_case import case_of, read_all, read_one
from tests.support.openx_values import T
from tests.support.openx_writer import write_openx


def test_up_to_three_texts_are_collected(tmp_path: Path) -> None:
    texts = {"language_instruction_2": "marker into cup", "language_instruction_3": ""}
    episode = read_one("droid", tmp_path, case_of("droid", **texts))
    assert episode.texts == (Text(0, T, ("put the marker in the cup", "marker into cup")),)


def test_failures_are_left_out_unless_told_otherwise(tmp_path: Path) -> None:
    pair = [case_of("droid", result=result) for result in ("success", "failure")]
    root = write_openx(tmp_path, "droid", [c.steps for c in pair], episode=[c.beside for c in pair])
    outcomes = read_all("droid", root)
    assert sorted(type(item).__name__ for item in outcomes) == ["Episode", "Reject"]
    (reject,) = [item for item in outcomes if isinstance(item, Reject)]
    assert reject.reason == "the attempt failed (its file lies in /failure/)"
    kept = read_all("droid", root, keep_failures=True)
    assert [item.instruction for item in kept if isinstance(item, Episode)] == [["put the marker in the cup"]] * 2
