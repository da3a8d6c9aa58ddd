"""Runs `villa` in this process, as a user would, and keeps what it says."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cli.app import app
from cli.contract import invoke


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


Villa = Callable[..., Said]


def villa_of(capsys: pytest.CaptureFixture[str]) -> Villa:
    """Give a function that takes the arguments of the command line."""

    def run(*argv: object) -> Said:
        capsys.readouterr()
        code = invoke(app, [str(word) for word in argv])
        return Said(code, *capsys.readouterr())

    return run
