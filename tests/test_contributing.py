"""What CONTRIBUTING.md shows can be done as it stands: one file in a folder of one's own, then the command below it."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import simplejpeg
import yaml

from tests.support import warm

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SECTIONS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))


def block(title: str, language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[title], re.MULTILINE | re.DOTALL)
    return text


def write_file(title: str, folder: Path) -> str:
    """Put a section's code into the file that the section names first, and give the module's name."""
    name = re.search(r"`(\w+)\.py`", SECTIONS[title])
    assert name
    (folder / f"{name[1]}.py").write_text(block(title, "python"))
    return name[1]


def follow(title: str, folder: Path) -> list[dict]:
    """Type a section's commands in a folder, and give their reports."""
    return [report(shlex.split(line), folder) for line in block(title, "sh").splitlines()]


def report(argv: list[str], folder: Path) -> dict:
    assert argv[0] == "villa"
    done = warm.run(*argv[1:], "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with recordings as ALOHA has them: in two of six episodes nothing is grasped, one file is broken."""
    folder = tmp_path_factory.mktemp("work")
    raw = folder / "raw" / "aloha" / "transfer_cube"
    raw.mkdir(parents=True)
    for i in range(6):
        random = np.random.default_rng(i)
        pictures = random.integers(0, 255, (40, 6, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(picture)) for picture in pictures]
        qpos = np.cumsum(random.normal(0, 0.02, (40, 14)), axis=0)
        qpos[:, [6, 13]] = np.linspace(1, 0.2 if i < 4 else 0.9, 40)[:, None]
        longest = max(map(len, jpegs))
        with h5py.File(raw / f"episode_{i}.hdf5", "w") as file:
            file["observations/qpos"], file["action"] = qpos, np.roll(qpos, -1, axis=0)
            padded = [np.frombuffer(jpeg.ljust(longest, b"\0"), np.uint8) for jpeg in jpegs]
            file["observations/images/cam_high"] = np.stack(padded)
    with h5py.File(raw / "episode_6.hdf5", "w") as file:
        file["observations/qpos"] = np.zeros((40, 14))
    write_file("A dataset", folder)
    return folder


@pytest.fixture(scope="module")
def ingested(folder):
    return follow("A dataset", folder)[0]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_example_imports_what_is_there(title, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module(write_file(title, tmp_path)).__doc__


def test_in_the_tree_each_is_found_by_the_name_of_its_file(tmp_path):
    for package in ("dataengine", "models", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for title, text in SECTIONS.items():
        named = re.search(r"in the tree `([\w/]+\.py)`:", text)
        if named:
            (tmp_path / named[1]).write_text(block(title, "python"))
    code = (
        "from dataengine import catalog; from pipelines.evaluation.simulators._base import simulator_class; "
        "print(catalog.source('aloha').name, catalog.stage('drop_no_grasp')().max_opening, "
        "simulator_class('point_reach').max_steps)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "aloha 0.8 60\n", done.stderr


def test_a_dataset(ingested):
    assert (ingested["episodes"], ingested["rejected_parts"]) == (6, 1)


def test_a_curation_rule(folder, ingested):
    write_file("A curation rule", folder)
    recipe = block("A curation rule", "yaml")
    (folder / "grasps.yaml").write_text(recipe)
    (curated,) = follow("A curation rule", folder)
    rules = {rule["rule"]: rule for rule in curated["rules"]}
    assert rules.keys() == yaml.safe_load(recipe).keys()
    assert rules["drop_no_grasp:DropNoGrasp"]["dropped"] == 2


@pytest.mark.slow
def test_a_model(folder, ingested):
    write_file("A model", folder)
    measured, trained = follow("A model", folder)
    assert measured
    assert (trained["step"], trained["finished"], trained["out"]) == (20, True, "runs/bc")
    (_, command) = block("A model", "sh").splitlines()
    again = report(shlex.split(command.replace("--steps 20", "--steps 40")), folder)
    assert (again["resumed_from"], again["step"]) == (20, 40)
    assert again["metrics"]["loss"] < trained["metrics"]["loss"]


def test_a_simulator(tmp_path):
    write_file("A simulator", tmp_path)
    expert, random = follow("A simulator", tmp_path)
    assert expert["successes"] == expert["episodes"] == 20
    assert random["successes"] < expert["successes"]
