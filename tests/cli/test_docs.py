"""What the pages say works: every command line is one that exists, every Python block runs."""

import ast
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from dataengine.store import Corpus
from tests.support.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def command_lines() -> list[tuple[str, str]]:
    lines_of_pages = []
    for page in PAGES:
        text = page.read_text()
        joined = [block.replace("\\\n", " ") for block in (*blocks(page, ""), *blocks(page, "sh"))]
        lines = [line for block in joined for line in block.splitlines()]
        lines += re.findall(r"`(villa [^`]+)`", text)
        lines_of_pages += [(page.name, line) for line in lines if line.startswith("villa ") and "..." not in line]
    return sorted(set(lines_of_pages))


@pytest.mark.parametrize(("page", "line"), command_lines(), ids=lambda line: line)
def test_a_command_line_of_a_page_is_one_that_exists(page, line):
    argv = shlex.split(line, comments=True)
    if argv[1] == "eval" and " ".join(argv[:3]) not in COMMANDS:
        argv.insert(2, "play")  # it is understood where a simulator follows
    name = next((n for n in (" ".join(argv[:3]), " ".join(argv[:2])) if n in COMMANDS), None)
    if name is None:
        assert argv[1:] in (["--help"], ["train"], ["corpus"]) or any(n.startswith(line) for n in COMMANDS)
        return
    rest = argv[len(name.split()) :]
    if rest:  # a bare name is a mention, not a call
        COMMANDS[name].make_context(name, rest)


def test_every_command_of_the_path_by_hand_has_a_time():
    path = (ROOT / "docs" / "getting-started.md").read_text().split("## The same path by hand")[1]
    lines = [line for line in path.split("```")[1].splitlines() if line.startswith("villa ")]
    assert len(lines) == 10
    assert all(re.search(r"# \d+ (s|min)\b", line) for line in lines)


@pytest.mark.parametrize("page", ["corpus.md", "troubleshooting.md"])
def test_the_python_of_a_page_runs(page, corpus, capsys):
    for code in blocks(ROOT / "docs" / page, "python"):
        exec(code.replace("runs/corpus", corpus), {})


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def walks() -> list[tuple[str, list[str], list[str]]]:
    """Hops of an episode as the page of concepts tells them: number, files, and what is called there."""
    text = (ROOT / "docs" / "concepts.md").read_text().split("## The walk of an episode")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| \d", line)]
    return [
        (number.strip(), re.findall(r"\(\.\./([^)]+)\)", where), re.findall(r"`([\w.]+)`", by))
        for number, _, where, by in rows
    ]


def names_of(file: str) -> set[str]:
    """Functions, classes and methods that a file defines."""
    names = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


def test_an_episode_walks_in_five_hops_to_its_row_and_in_six_to_a_loss():
    assert [number for number, *_ in walks()] == [*"12345", *"123456"]


@pytest.mark.parametrize(("number", "files", "names"), walks(), ids=lambda each: str(each))
def test_every_hop_of_the_walks_is_where_the_page_says(number, files, names):
    assert files
    assert names
    for file in files:
        assert names_of(file) & set(names), f"{file} defines none of {names}"
    assert set(names) <= set().union(*map(names_of, files))


def test_the_site_leads_to_every_page():
    _, nav = (ROOT / "mkdocs.yml").read_text().split("\nnav:")
    led_to = re.findall(r"[\w/-]+\.md", nav)
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(led_to) == sorted(pages)
    decisions = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (decisions / "README.md").read_text())
    assert sorted([*listed, "README.md"]) == sorted(page.name for page in decisions.glob("*.md"))


def test_decisions_are_numbered_and_dated():
    pages = sorted(page for page in (ROOT / "docs" / "decisions").glob("*.md") if page.name != "README.md")
    assert [page.name[:5] for page in pages] == [f"{number:04d}_" for number in range(1, len(pages) + 1)]
    for page in pages:
        title, blank, date, *_ = page.read_text().splitlines()
        assert title.startswith("# "), page.name
        assert (blank, bool(re.fullmatch(r"\*\d{1,2} [A-Z][a-z]+ \d{4}\.\*", date))) == ("", True), page.name


def test_the_source_that_the_page_shows_can_be_ingested(villa, tmp_path, monkeypatch):
    (code,) = blocks(ROOT / "docs" / "sources.md", "python")
    (tmp_path / "my_pantry.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    raw = tmp_path / "raw"
    raw.mkdir()
    random = np.random.default_rng(0)
    for name, jaw_mm in (("good", 40.0), ("bad", 400.0)):
        pictures = random.integers(0, 255, (5, 24, 32, 3)).astype(np.uint8)
        jaw, target = np.full(5, jaw_mm), np.full((5, 7), jaw_mm)
        np.savez(
            raw / f"{name}.npz", tip=np.zeros((5, 6)), jaw=jaw, target=target, pictures=pictures, instruction="tidy up"
        )
    argv = ("ingest", "my_pantry:Pantry", raw, "--corpus", tmp_path / "corpus", "--workers", 1)
    report = villa(*argv, "--json").report
    assert (report["committed_parts"], report["rejected_parts"], report["episodes"]) == (1, 1, 1)
    corpus = Corpus.open(str(tmp_path / "corpus"))
    episode = corpus.episode(corpus.episode_ids()[0])
    assert episode.state[:, 6].tolist() == [0.5] * 5
    assert episode.raw_state[:, 6].tolist() == [40.0] * 5
    assert "recorded in another unit?" in corpus.rejects()["reason"].to_pylist()[0]
    assert villa(*argv, "--strict").code == 1
