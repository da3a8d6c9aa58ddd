"""A pipeline of small commands: what has changed is done again, what is killed goes on, what fails names itself."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.said import Villa, villa_of

pytestmark = pytest.mark.slow

COPY = "tests.support.copy_stage:CopyConfig"


def stage(name: str, *, source: str = "", **settings: Any) -> dict[str, Any]:
    inputs = [source] if source else []
    settings |= {"source": source} if source else {}
    out = f"${{out}}/{name}.txt"
    return {"command": COPY, "settings": {**settings, "out": out}, "inputs": inputs, "outputs": [out]}


def chain(root: Path, **changes: Any) -> Path:
    """Three copies, one of the other: seed.txt -> a -> b -> c."""
    (root / "seed.txt").touch()
    stages = {
        "c": stage("c", source="${b}", suffix="c"),
        "a": stage("a", source=str(root / "seed.txt"), suffix="a"),
        "b": stage("b", source="${a}", suffix="b"),
    }
    for name, settings in changes.items():
        stages[name]["settings"] |= settings
    file = root / "chain.yaml"
    file.write_text(yaml.safe_dump({"out": str(root / "run"), "stages": stages}, sort_keys=False))
    return file


@pytest.fixture
def villa(capsys: pytest.CaptureFixture[str]) -> Villa:
    """`villa pipeline` in this process; its stages have processes of their own."""
    return partial(villa_of(capsys), "pipeline")


def ran(villa: Villa, file: Path, *argv: object) -> list[str]:
    done = villa(file, *argv, "--json")
    assert done.code == 0, done.err
    return [s["stage"] for s in done.report["stages"] if s["ran"]]


def planned(villa: Villa, file: Path) -> dict[str, tuple[str, str]]:
    done = villa(file, "--dry-run", "--json")
    assert done.code == 0, done.err
    return {s["stage"]: (s["state"], "; ".join(s["why"])) for s in done.report["stages"]}


def calls(root: Path) -> dict[str, int]:
    return {name: len((root / "run" / f"{name}.calls").read_text().split()) for name in "abc"}


def test_stages_are_done_again_only_when_what_they_depend_on_has_changed(villa: Villa, tmp_path: Path) -> None:
    file = chain(tmp_path)
    assert ran(villa, file) == ["a", "b", "c"]
    assert (tmp_path / "run" / "c.txt").read_text() == "abc"
    os.utime(tmp_path / "seed.txt", (1, 1))
    chain(tmp_path, a={"workers": 2})
    assert ran(villa, file) == []

    chain(tmp_path, b={"suffix": "B"})
    assert planned(villa, file) == {
        "a": ("done", ""),
        "b": ("to run", 'suffix "b" -> "B"'),
        "c": ("may run", "if b makes something else"),
    }
    assert ran(villa, file) == ["b", "c"]
    assert (tmp_path / "run" / "c.txt").read_text() == "aBc"

    (tmp_path / "seed.txt").write_text("")
    assert ran(villa, file) == []
    (tmp_path / "seed.txt").write_text("s")
    assert planned(villa, file)["a"] == ("to run", "input changed: files of seed.txt")
    assert ran(villa, file) == ["a", "b", "c"]

    (tmp_path / "run" / "b.txt").write_text("meddled")
    assert planned(villa, file)["b"] == ("to run", "output was changed: files of b.txt")
    assert ran(villa, file) == ["b"]  # it makes the same again, so nothing follows
    (tmp_path / "run" / "b.txt").unlink()
    assert planned(villa, file) == {
        "a": ("done", ""),
        "b": ("to run", "output is not there: files of b.txt"),
        "c": ("may run", "if b makes something else"),
    }
    assert ran(villa, file) == ["b"]
    assert (tmp_path / "run" / "c.txt").read_text() == "saBc"


def test_a_stage_can_be_done_again_or_alone(villa: Villa, tmp_path: Path) -> None:
    file = chain(tmp_path)
    assert ran(villa, file, "--until", "b") == ["a", "b"]
    assert ran(villa, file, "--redo", "a") == ["a", "c"]
    chain(tmp_path, a={"suffix": "A"}, c={"suffix": "C"})
    alone = villa(file, "--only", "c")
    assert "1 of 1 stages done, 1 of them now; left as they were: a, b" in alone.out  # a is stale: nobody calls it done
    assert "3 of 3 stages done; --dry-run says what changed since" in villa(file, "--status").out
    assert (tmp_path / "run" / "c.txt").read_text() == "abC"


def test_a_stage_that_fails_names_itself_its_line_and_its_reason(villa: Villa, tmp_path: Path) -> None:
    (trouble := tmp_path / "trouble").touch()
    file = chain(tmp_path, b={"fails_at": str(trouble)})
    failed = villa(file)
    assert failed.code == 2
    last = failed.err.splitlines()[-1]
    line = next(i for i, text in enumerate(file.read_text().splitlines(), start=1) if text == "  b:")
    assert f"{file}:{line}: stage 'b': " in last
    assert f"{trouble}: is there; remove it" in last
    page = (tmp_path / "run" / "index.html").read_text()
    assert "failed" in page
    assert "is there; remove it" in page
    assert "http" not in page.replace("http://www.w3.org", "")

    trouble.unlink()
    assert planned(villa, file)["b"][1].endswith("failed")
    assert ran(villa, file) == ["b", "c"]
    assert calls(tmp_path) == {"a": 1, "b": 2, "c": 1}


def test_a_run_that_was_killed_in_every_stage_goes_on_and_ends_alike(villa: Villa, tmp_path: Path) -> None:
    waiting = {name: {"wait_s": 20} for name in "abc"}
    for killed_in in "abc":
        file = chain(tmp_path, **waiting)
        command = [sys.executable, "-m", "cli", "pipeline", str(file)]
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while not (tmp_path / "run" / f"{killed_in}.calls").exists() and first.poll() is None:
            time.sleep(0.1)
        first.kill()  # alone: its child dies with it
        first.wait()
        del waiting[killed_in]
    assert ran(villa, chain(tmp_path)) == ["c"]
    assert (tmp_path / "run" / "c.txt").read_text() == "abc"
    assert calls(tmp_path) == dict.fromkeys("abc", 2)


def test_ctrl_c_stops_the_children_and_the_same_command_goes_on(villa: Villa, tmp_path: Path) -> None:
    file = chain(tmp_path, b={"wait_s": 20})
    command = [sys.executable, "-m", "cli", "pipeline", str(file)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "b.calls").exists() and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 130
    assert said.splitlines()[-1] == "villa pipeline: interrupted; the same command continues where it stopped"
    chain(tmp_path)
    assert ran(villa, file) == ["b", "c"]


def test_stages_that_need_nothing_of_one_another_run_side_by_side(villa: Villa, tmp_path: Path) -> None:
    stages = {name: {**stage(name, suffix=name, wait_s=2), "threads": 1} for name in "ab"}
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump({"out": str(tmp_path / "run"), "stages": stages}))
    assert ran(villa, file, "--cores", 2) == ["a", "b"]
    records = json.loads((tmp_path / "run" / "pipeline.json").read_text())["stages"]
    ((a_began, a_ended),), ((b_began, b_ended),) = records["a"]["spans"], records["b"]["spans"]
    assert a_began < b_ended
    assert b_began < a_ended


def test_a_folder_that_something_else_wrote_is_refused(villa: Villa, tmp_path: Path) -> None:
    file = chain(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    refused = villa(file)
    assert refused.code == 2
    assert "thesis.tex" in refused.err


def test_a_damaged_state_is_a_line(villa: Villa, tmp_path: Path) -> None:
    file = chain(tmp_path)
    ran(villa, file, "--only", "a")
    (tmp_path / "run" / "pipeline.json").write_text('{"version": 1, "stages": {"a"')
    refused = villa(file, "--status")
    assert refused.code == 2
    assert "pipeline.json: cannot be read" in refused.err
    assert len(refused.err.splitlines()) == 1
