from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.errors import SourceError
from tests.support.openx_case import case_of
from tests.support.openx_writer import write_openx


def test_a_schema_of_other_widths_is_refused(tmp_path: Path) -> None:
    root = write_openx(tmp_path, "bridge_dataset", case_of("bridge_orig").steps)
    libero = catalog.source("openx/libero")
    one_camera = type("Renamed", (libero,), {"cameras": {"primary": "image_0"}})
    with pytest.raises(
        SourceError, match=r"whose steps/observation/state has shape \(7,\); openx/libero has 8 numbers there"
    ):
        one_camera(str(root)).parts()
