"""Text files are UTF-8 whatever the locale says: in an ASCII one Python would write them as ASCII, and fail."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [file for room in ("cli", "pipelines", "dataengine", "models") for file in sorted((ROOT / room).rglob("*.py"))]
OF_OUR_OWN = ("remote",)
"""Modules whose `read_text` is no method of a path."""


def unsaid(tree: ast.AST) -> list[int]:
    """Lines that open text without saying how it is encoded."""
    lines = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or any(k.arg == "encoding" for k in call.keywords):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        owner = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
        modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        is_text = any(set(m) <= set("rwax+t") and m for m in modes)
        if (name in ("read_text", "write_text") and owner not in OF_OUR_OWN) or (
            name == "open" and is_text and owner not in ("tarfile", "av")
        ):
            lines.append(call.lineno)
    return lines


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_text_file_says_its_encoding(file: Path) -> None:
    assert not unsaid(ast.parse(file.read_text(encoding="utf-8")))
