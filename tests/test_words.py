"""Help, messages, pages and documentation say what practitioners say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tests.support.commands import COMMANDS

ROOT = Path(__file__).parents[1]
INSTEAD = {
    r"paint(s|ed|er|ers|ing)?": "predict, decoder, world model",
    r"body|bodies": "embodiment, embodiments",
    r"told": "given, printed, reported, listed",
    r"judg(e|es|ed|ing)": "check (curation), evaluate (models)",
    r"goe?s? before": "takes precedence over, precedes",
    r"doubts?|doubtful": "warning, uncertain",
    r"arms of (a|the) (study|comparison)": "variants",
    r"whereabouts": "position, pose",
    r"crew": "worker pool",
}
FORBIDDEN = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
ALLOWED = (
    (r"`(\w+_)?doubts?`", "the key of a note, which corpora on disks have"),
    (r"'bodies'", "the key of a checkpoint's settings, named where it is damaged"),
    (r"\(painted\|predicted\|shifted\)", "pictures that an older version wrote and this one may remove"),
    (r"</?body>|\bs\.body\b", "HTML's element, and the field of a section of a page"),
    (r"quality__whereabouts", "a column of corpora"),
    (r"/\S*told\S*\.md", "the name of a file"),
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEMPLATES = sorted((ROOT / "pipelines").rglob("*.html"))
MODULES = [file for folder in ("cli", "pipelines", "dataengine") for file in sorted((ROOT / folder).rglob("*.py"))]


def strange(text: str) -> list[str]:
    """Name the words that a reader would need a dictionary for, each with its line and what to say instead."""
    for allowed, _ in ALLOWED:
        text = re.sub(allowed, "", text)
    complaints = []
    for number, line in enumerate(text.splitlines(), 1):
        for word in FORBIDDEN.finditer(line):
            better = next(b for pattern, b in INSTEAD.items() if re.fullmatch(pattern, word[0], re.IGNORECASE))
            complaints.append(f"{number}: '{word[0]}' in '{line.strip()[:120]}'; say {better}")
    return complaints


def messages(file: Path) -> Iterator[str]:
    """Give a module's messages (texts with a blank) and headings (lists of texts); neither keys nor docstrings."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    headings = {id(each) for node in nodes if isinstance(node, ast.List) for each in node.elts}
    for node in nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if id(node) in headings or " " in node.value.strip():
            yield node.value


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    with typer.Context(COMMANDS[name], info_name=name) as context:
        assert strange(COMMANDS[name].get_help(context)) == []


@pytest.mark.parametrize("page", [*PAGES, *TEMPLATES], ids=lambda page: str(page.relative_to(ROOT)))
def test_pages(page: Path) -> None:
    assert strange(page.read_text(encoding="utf-8")) == []


def test_messages() -> None:
    strange_texts = {
        str(file.relative_to(ROOT)): [each for text in messages(file) for each in strange(text)] for file in MODULES
    }
    assert {file: complaints for file, complaints in strange_texts.items() if complaints} == {}


@pytest.mark.parametrize("word", ["Painted", "bodies", "told", "judging", "goes before", "doubts"])
def test_a_word_that_only_we_use_is_found(word: str) -> None:
    assert len(strange(f"It {word} something.")) == 1


@pytest.mark.parametrize(("pattern", "reason"), ALLOWED)
def test_an_exception_has_its_reason(pattern: str, reason: str) -> None:
    assert reason
    assert re.compile(pattern)
