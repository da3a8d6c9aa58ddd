"""Runs `villa` in this process, as a user would, and keeps what it says."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from cli.app import app
from cli.contract import invoke
from tests.support.corpora import human_clip, make_corpus, robot_episode


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on stderr."""
        (line,) = self.err.splitlines()
        return line


@pytest.fixture
def villa(capsys):
    def run(*argv: object) -> Said:
        capsys.readouterr()
        code = invoke(app, [str(word) for word in argv])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Two robots and a human clip."""
    path = tmp_path_factory.mktemp("corpus") / "made"
    parts = {
        "a": [robot_episode(f"a{i}", dataset="shelves", embodiment="arm") for i in range(3)],
        "b": [robot_episode(f"b{i}", dataset="drawers", embodiment="hand", control_hz=20.0) for i in range(2)],
        "c": [human_clip("c0", dataset="kitchen")],
    }
    return make_corpus(path, parts).uri
