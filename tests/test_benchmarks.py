"""Benchmarks are run by hand: that what they import is still there is known at once."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("cli", "pipelines", "dataengine", "models")


def imported_names(file: Path) -> Iterator[tuple[str, str]]:
    """Every name of our packages that a script imports, at its top or in a function, with its module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in OURS:
            yield from ((node.module, alias.name) for alias in node.names)


def is_there(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda file: file.name)
def test_what_a_benchmark_imports_of_ours_is_there(file: Path) -> None:
    assert [name for name in imported_names(file) if not is_there(*name)] == []
