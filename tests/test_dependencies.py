"""What is imported is declared, what is declared is used, and all of it is in the tested set."""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = ("cli", "pipelines", "dataengine", "models")
NAMES = {"PIL": "pillow", "cv2": "opencv-python-headless", "google": "protobuf", "lance": "pylance", "yaml": "pyyaml"}
"""Distributions that are not named as what is imported of them."""

BESIDE = {"robosuite", "openpi-client"}
"""Installed by `make setup` without what it asks for, and so in no extra."""
OF_SIMULATORS = {"libero", "mani-skill", "sapien"}
"""Live in environments of their own (`make sim-libero`, `make sim-simpler`), and so do the files that import them."""
FOR_GPUS = {"bitsandbytes"}
"""Asked for by name in one line where a setting needs it; without a GPU it is of no use."""
CONTENDERS = {"decord"}
"""Take part in a benchmark where they are installed."""
FOR_OTHERS = {"numba", "opencv-python-headless", "termcolor", "tqdm", "tensorflow", "tensorflow-cpu", "dm-tree"}
"""What robosuite and openpi-client would ask for, and the tensorflows that tensorflow-datasets lets one choose from."""
TOOLS = {"beartype", "import-linter", "mkdocs-material", "mypy", "pytest-timeout", "pytest-xdist", "ruff"}
"""Run, not imported."""
STUBS = {"types-pyyaml"}
OF_TOOLS = {"mkdocs", "pymdown-extensions", "robosuite", "openpi-client"}
"""In the tested set without being declared: parts of the site's builder, and what is installed beside."""


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in requirements} - {"villa-engine"}


BASE = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(requirements) for name, requirements in PROJECT["optional-dependencies"].items()}
ALL = BASE.union(*EXTRAS.values())


def imports(file: Path) -> Iterator[str]:
    """The distributions that a file imports anything of, at its top or in a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module]
        for module in modules:
            top = module.partition(".")[0]
            is_script = "benchmarks" in file.parts and (file.parent / f"{top}.py").exists()
            if top not in sys.stdlib_module_names and not is_script and not (ROOT / top).is_dir():
                yield canonicalize_name(NAMES.get(top, top))


@cache
def imported_below(*folders: str) -> dict[str, set[str]]:
    """What is imported below some folders, with the files that do so."""
    importers: dict[str, set[str]] = {}
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for name in imports(file):
            importers.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    return importers


def test_everything_that_is_imported_is_declared() -> None:
    used = imported_below(*OURS)
    assert {name: files for name, files in used.items() if name not in ALL | BESIDE | OF_SIMULATORS | FOR_GPUS} == {}


def test_what_only_an_extra_brings_is_imported_only_by_what_it_is_for() -> None:
    optional = {name: files for name, files in imported_below(*OURS).items() if name not in BASE | FOR_GPUS}
    allowed = ("pipelines/evaluation/", "pipelines/serving/", "pipelines/curate/hands/", "pipelines/training/loggers/")
    elsewhere = [f for files in optional.values() for f in files if not f.startswith(allowed)]
    assert elsewhere == []


def test_everything_that_is_declared_is_imported() -> None:
    used = imported_below(*OURS).keys()
    assert BASE - used == set()
    assert (
        EXTRAS["sim"] | EXTRAS["demo"] | EXTRAS["serve"] | EXTRAS["hands"] | EXTRAS["wandb"] | EXTRAS["trackio"]
    ) - used - FOR_OTHERS == set()


def test_what_only_tests_and_benchmarks_import_is_declared_for_developers_and_the_other_way_round() -> None:
    used = imported_below("tests", "benchmarks")
    unknown = {name: files for name, files in used.items() if name not in ALL | BESIDE | CONTENDERS}
    foreign = ("benchmarks/lerobot_contender.py", "tests/lerobot_check/")  # have an environment of lerobot's own
    assert {name: files for name, files in unknown.items() if not all(f.startswith(foreign) for f in files)} == {}
    assert (EXTRAS["dev"] | EXTRAS["docs"]) - used.keys() - TOOLS - STUBS - FOR_OTHERS == set()


def test_the_tested_set_has_everything_that_is_declared_and_nothing_else() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    assert pinned - ALL == OF_TOOLS
    assert ALL - pinned == {"tensorflow"}  # where there is no tensorflow-cpu


def test_the_tested_set_installs_on_the_pythons_of_debian_12_and_ubuntu_24_04():
    """Where it does not, pip tries older and older versions of everything, without an end in sight."""
    wanted = {d.name: d.metadata["Requires-Python"] or "" for d in metadata.distributions() if d.name != "villa-engine"}
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(pin.partition("==")[0]) for pin in pins}
    asked = {name: python for name, python in wanted.items() if canonicalize_name(name) in pinned}
    refused = {
        name: python
        for name, python in asked.items()
        if not all(SpecifierSet(python).contains(version) for version in ("3.11.2", "3.12.3"))
    }
    assert refused == {}
