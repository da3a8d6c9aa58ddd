"""What an installation is: every file of the packages, and commands that work beside a user's packages of our names."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture
def installed(wheel, tmp_path):
    """An environment that has the wheel, and all that it needs from ours."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    (site,) = (tmp_path / "env" / "lib").glob("python3.*/site-packages")
    (site / "shared.pth").write_text(sysconfig.get_path("purelib"))
    zipfile.ZipFile(wheel).extractall(site)
    entry = EntryPoint("villa", PROJECT["project"]["scripts"]["villa"], "console_scripts")
    lines = [f"from {entry.module} import {entry.attr}", 'if __name__ == "__main__":', f"    {entry.attr}()"]
    (tmp_path / "env" / "bin" / "villa").write_text("\n".join(lines))  # as pip writes it
    return site


@pytest.fixture
def project(tmp_path):
    """A folder as many a robotics repository is."""
    for name in ("models", "pipelines"):
        (tmp_path / "project" / name).mkdir(parents=True)
        (tmp_path / "project" / name / "__init__.py").touch()
    return tmp_path / "project"


def run(site, where, *argv, **environment):
    python = site.parents[2] / "bin" / "python"
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, *(argv if argv[0].startswith("-") else (python.parent / "villa", *argv))]
    return subprocess.run(
        [*map(str, command)], cwd=where, env=inherited | environment, capture_output=True, text=True, check=False
    )


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    files = {path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    ours = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert {"models/py.typed", "pipelines/html/page.css", "pipelines/recipes/curate_default.yaml"} <= ours
    assert ours - {*zipfile.ZipFile(wheel).namelist()} == set()


def test_a_command_works_beside_a_users_packages_of_our_names(installed, project):
    done = run(installed, project, "sources", "metaworld")
    assert (done.returncode, done.stderr) == (0, "")
    assert "openx/metaworld" in done.stdout


def test_the_commands_of_a_pipeline_work_there_too(installed, project):
    code = (
        "from pathlib import Path; from pipelines.workflow.children import Child, VillaCommand; "
        "print(Child(VillaCommand(['sources', 'metaworld'], Path('log'))).report()['items'][0]['name'])"
    )
    done = run(installed, project, "-P", "-c", code)
    assert done.stdout == "openx/metaworld\n", done.stderr


@pytest.mark.parametrize(("argv", "environment"), [(("sources",), {"PYTHONPATH": "."}), (("-m", "cli", "sources"), {})])
def test_packages_that_hide_ours_are_named_in_one_line(installed, project, argv, environment):
    done = run(installed, project, *argv, **environment)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"villa: needs its package 'pipelines' in {installed}, found it at {project / 'pipelines'};")


def test_another_distribution_that_brought_a_package_of_ours_is_named_in_one_line(installed, tmp_path):
    (installed / "models" / "config.py").write_text("")
    about = installed / "robot_nets-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: robot-nets\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("models\n")
    done = run(installed, tmp_path, "train", "lam", "corpus", "--out", "run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "robot-nets brought a package 'models' too; install villa-engine into an environment of its own" in line
