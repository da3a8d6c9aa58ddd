"""Names in code say what they hold: no reader has to look up what `place` or `words` is this time."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
INSTEAD = {
    "place": "path, uri, index, position, offset or slot",
    "words": "argv, message, texts, names or kwargs",
    "told": "given, said, reported, or what it holds",
    "found": "what it holds: episodes, matches, paths, rows",
}
FORBIDDEN = re.compile(r"_*(place|words|told|found)s?_*", re.IGNORECASE)
FOLDERS = ("dataengine", "models", "pipelines", "cli", "tests", "benchmarks")
KEPT = {
    "pipelines/doctor.py": (("found",), "the key of a report"),
    "pipelines/evaluation/unit.py": (("told",), "part of a digest: files of results keep their names"),
    "pipelines/training/codebook_health.py": (("words",), "the key of a report"),
    "pipelines/training/lam/lam.py": (("words",), "the key of a report"),
    "tests/pipelines/training/test_codebook_health.py": (("words",), "the key of a report"),
}
"""Names that stay, by file, each with its reason."""


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


class Vague(NamedTuple):
    """A name that a reader must decode, with its line and what to say instead."""

    line: int
    name: str
    instead: str

    def __str__(self) -> str:
        return f"{self.line}: '{self.name}'; say {self.instead}"


def vague(source: str) -> list[Vague]:
    """List such names of a module."""
    hits = ((line, name, FORBIDDEN.fullmatch(name)) for line, name in sorted(set(names(ast.parse(source)))))
    return [Vague(line, name, INSTEAD[match[1].lower()]) for line, name, match in hits if match]


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_say_what_they_hold(folder: str) -> None:
    sources = {str(f.relative_to(ROOT)): f.read_text(encoding="utf-8") for f in sorted((ROOT / folder).rglob("*.py"))}
    hits = {
        file: [each for each in vague(text) if each.name not in KEPT.get(file, ((),))[0]]
        for file, text in sources.items()
    }
    assert {file: list(map(str, each)) for file, each in hits.items() if each} == {}


@pytest.mark.parametrize("file", KEPT)
def test_a_name_that_stays_is_there(file: str) -> None:
    names_kept, reason = KEPT[file]
    assert reason
    assert set(names_kept) == {each.name for each in vague((ROOT / file).read_text(encoding="utf-8"))}


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
