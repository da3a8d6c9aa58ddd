from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.errors import SourceError
from tests.support.openx_case import case_of
from tests.support.openx_writer import write_openx

RLDS = "converted_externally_to_rlds"


def test_the_folder_of_a_sibling_is_refused(tmp_path: Path) -> None:
    sibling = f"dlr_sara_pour_{RLDS}"
    root = write_openx(tmp_path, sibling, case_of(sibling).steps)
    with pytest.raises(SourceError, match=r"has shape \(6,\); openx/dlr_sara_grid_clamp_.* has 12 numbers there"):
        catalog.source(f"openx/dlr_sara_grid_clamp_{RLDS}")(str(root)).parts()
