"""Two commands never write to one folder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from pipelines.output.folder import locked
from tests.support.output_folders import NAMES, commands

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", NAMES)
def test_of_two_commands_on_one_folder_the_second_says_who_is_there(villa, made, tmp_path, name):
    with locked(tmp_path, "train lam"):
        said = villa(*commands(made, tmp_path)[name])
    assert said.code == 2
    assert f"{tmp_path}: another `villa train lam` (pid " in said.line
    assert "is writing to it" in said.line


def test_who_has_just_taken_a_lock_is_named_too(tmp_path, monkeypatch):
    asked = []

    def named_late(handle, size, start):
        asked.append(handle)
        return b"" if len(asked) < 3 else b"`villa curate` (pid 7 on lab)"

    with locked(tmp_path, "curate"):
        monkeypatch.setattr(os, "pread", named_late)
        refused = pytest.raises(DataEngineError, match=r"another `villa curate` \(pid 7 on lab\) is writing to it")
        with refused, locked(tmp_path, "curate"):
            pass


def test_the_lock_of_a_killed_command_is_gone(villa, made, tmp_path):
    code = "import sys, time; from pathlib import Path; from pipelines.output.folder import locked"
    hold = f"{code}\nwith locked(Path(sys.argv[1]), 'curate'): print('in', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout.readline() == b"in\n"
    line = commands(made, tmp_path)["curate"]
    assert f"another `villa curate` (pid {child.pid} on " in villa(*line).line
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert villa(*line).code == 0


def test_a_disk_without_locks_is_told(villa, made, tmp_path, monkeypatch):
    def refuse(_handle, _how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = villa(*commands(made, tmp_path)["curate"])
    assert said.code == 0
    assert "its disk keeps no locks" in said.err
