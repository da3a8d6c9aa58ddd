"""Raw recordings of four parts."""

from pathlib import Path

import pytest

from tests.support.npz_source import write_parts


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_parts(tmp_path / "raw", num_parts=4)
    return tmp_path / "raw"
