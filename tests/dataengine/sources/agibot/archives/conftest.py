"""The same episodes extracted and in archives, as they were made and to be damaged."""

import shutil
from pathlib import Path

import pytest

from tests.support.agibot_archives import EPISODES, NUMBERS, RANGES
from tests.support.agibot_tree import (
    pack,
    write_tree,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agibot") / "extracted"
    for i, (task, episodes) in enumerate(EPISODES.items()):
        write_tree(root, task, episodes, level=20 * i)
    return root


@pytest.fixture(scope="package")
def packed(template: Path) -> Path:
    return pack(template, template.parent / "packed", RANGES, NUMBERS)


@pytest.fixture
def extracted(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "extracted"))


@pytest.fixture
def root(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "packed"))
