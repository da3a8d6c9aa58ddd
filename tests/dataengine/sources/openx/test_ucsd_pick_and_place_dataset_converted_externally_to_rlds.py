from pathlib import Path

from dataengine.episode import Episode, Reject
from tests.support.openx_case import case_of, read_all
from tests.support.openx_writer import write_openx

NAME = "ucsd_pick_and_place_dataset_converted_externally_to_rlds"


def test_failures_are_left_out_unless_told_otherwise(tmp_path: Path) -> None:
    pair = [case_of(NAME, success=success) for success in (True, False)]
    root = write_openx(tmp_path, NAME, [c.steps for c in pair], episode=[c.beside for c in pair])
    (reject,) = [outcome for outcome in read_all(NAME, root) if isinstance(outcome, Reject)]
    assert (reject.error, reject.reason) == (
        "FilteredRecordError",
        "the attempt failed (episode_metadata/success is false)",
    )
    assert [type(outcome) for outcome in read_all(NAME, root, keep_failures=True)] == [Episode, Episode]
