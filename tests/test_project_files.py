"""What a newcomer meets beside the code: versions, targets of make, the image."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from cli.app import app
from cli.contract import invoke

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(app, ["--version"]) == 0
    assert re.fullmatch(r"villa-engine \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_make_tells_its_targets() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("setup", "demo", "test", "check", "bench", "docs", "docs-site"):
        assert f"make {name}" in said


def test_the_image_holds_every_package_and_nothing_that_is_not_there() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for word in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    packages = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
    assert set(packages) <= set(copied)


def test_every_package_says_that_it_is_typed() -> None:
    for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]:
        assert (ROOT / name.rstrip("*") / "py.typed").exists()


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "bash").symlink_to("/bin/bash")
    (tmp_path / "env").symlink_to("/usr/bin/env")
    done = subprocess.run(
        [str(ROOT / ".ci" / "python")], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "found no Python, expected 3.11 or 3.12" in done.stderr
