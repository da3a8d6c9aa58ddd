"""The tree can be taken in: few entries in the folder of acts, helpers of tests apart from tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_ENTRIES, MOST_LINES = 22, 400


def imported(file: Path) -> Iterator[str]:
    """Every module or name that a file imports, with dots."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_pipelines_has_no_more_entries_than_can_be_taken_in() -> None:
    entries = [e.name for e in (ROOT / "pipelines").iterdir() if e.suffix == ".py" or (e / "__init__.py").exists()]
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_what_tests_share_lies_in_support() -> None:
    taken = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in (ROOT / "tests").rglob("*.py")
        for name in imported(file)
        if name.startswith("tests.") and any(word.startswith("test_") for word in name.split("."))
    }
    assert taken == set()


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}::{node.name} ({lines} lines)"
        for package in ("cli", "pipelines", "dataengine", "models")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    ]
    assert not long


def test_no_file_of_tests_is_too_long_to_be_read_at_once() -> None:
    long = {
        f"{path.relative_to(ROOT)} ({lines} lines)"
        for path in (ROOT / "tests").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == set(), "split them by what they are about; helpers go to tests/support"
