"""LeRobot datasets that each test may damage."""

import shutil

import pytest

from tests.support import lerobot_writer as lr


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lerobot")
    return {"v3.0": lr.write_v3(folder / "cubes3"), "v2.1": lr.write_v2(folder / "cubes2")}


@pytest.fixture
def v3(made, tmp_path):
    return shutil.copytree(made["v3.0"], tmp_path / "cubes")


@pytest.fixture
def v2(made, tmp_path):
    return shutil.copytree(made["v2.1"], tmp_path / "cubes")
