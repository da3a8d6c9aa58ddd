from pathlib import Path

from dataengine.episode import Episode, Reject
from tests.support.openx_case import case_of, read_all
from tests.support.openx_writer import write_openx


def test_failures_are_left_out_unless_told_otherwise(tmp_path: Path) -> None:
    pair = [case_of("kuka", success=success) for success in (True, False)]
    root = write_openx(tmp_path, "kuka", [c.steps for c in pair], episode=[c.beside for c in pair])
    outcomes = read_all("kuka", root)
    assert sorted(type(item).__name__ for item in outcomes) == ["Episode", "Reject"]
    (reject,) = [item for item in outcomes if isinstance(item, Reject)]
    assert (reject.error, reject.reason) == ("FilteredRecordError", "the attempt failed (success is false)")
    both = read_all("kuka", root, keep_failures=True)
    assert sorted(one.notes["outcome"] for one in both if isinstance(one, Episode)) == ["failure", "success"]
