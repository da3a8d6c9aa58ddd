"""Names in code say what they hold: no reader has to look up what `place` or `words` is this time."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTEAD = {
    "place": "path, uri, index, position, offset or slot",
    "words": "argv, message, texts, names or kwargs",
    "told": "given, said, reported, or what it holds",
    "found": "what it holds: episodes, matches, paths, rows",
}
FORBIDDEN = re.compile(r"_*(place|words|told|found)s?_*", re.IGNORECASE)
CLEAN = ("dataengine", "cli", *(f"pipelines/{name}" for name in ("clips", "curate", "demo", "html", "ingest", "stats")))
"""Packages in which no such name is left."""


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give every name that a module gives or uses, with its line; words in texts and comments are none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.value.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.alias):
            yield node.lineno, (node.asname or node.name).rpartition(".")[2]


def vague(source: str) -> list[str]:
    """List the names that a reader must decode, with their lines and what to say instead."""
    hits = ((line, name, FORBIDDEN.fullmatch(name)) for line, name in sorted(set(names(ast.parse(source)))))
    return [f"{line}: '{name}'; say {INSTEAD[match[1].lower()]}" for line, name, match in hits if match]


@pytest.mark.parametrize("folder", CLEAN)
def test_names_say_what_they_hold(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert [f"{f.relative_to(ROOT)}:{each}" for f in files for each in vague(f.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    [
        "place = 1",
        "def read(words): ...",
        "class Place: ...",
        "self._found",
        "def _told(): ...",
        "f(places=1)",
        "import a.words",
        "print(f'{found}')",
        "TOLD = 3",
    ],
)
def test_a_vague_name_is_reported(source: str) -> None:
    assert len(vague(source)) == 1


@pytest.mark.parametrize("source", ["num_words = 1", "'found words'", "placed = foundation", "# found"])
def test_other_names_and_texts_are_left_alone(source: str) -> None:
    assert vague(source) == []
