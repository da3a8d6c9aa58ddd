from pathlib import Path

import pytest

from dataengine.episode import Reject
from dataengine.errors import SourceError
from tests.support.openx_case import case_of, read_all
from tests.support.openx_writer import write_openx


def test_failures_are_left_out_on_demand(tmp_path: Path) -> None:
    (reject,) = read_all("bc_z", write_openx(tmp_path, "bc_z", case_of("bc_z").steps), drop_failures=True)
    assert isinstance(reject, Reject)
    assert reject.error == "FilteredRecordError"


def test_later_versions_are_refused_unless_asked_for(tmp_path: Path) -> None:
    later = write_openx(tmp_path, "bc_z", case_of("bc_z").steps, version="1.0.1")
    with pytest.raises(SourceError, match=r"found version 1\.0\.1 of bc_z, expected 0\.1\.0"):
        read_all("bc_z", later)
    assert len(read_all("bc_z", later, any_version=True)) == 1
