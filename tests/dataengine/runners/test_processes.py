"""Child processes: none outlives its parent, Ctrl-C reaches the parent alone."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dataengine.runners.processes import pool, start


def echo(pipe: Connection, before: str) -> None:
    while True:
        pipe.send(before + pipe.recv())


def pid_of_worker(_: int) -> int:
    return os.getpid()


def test_a_child_serves_is_deaf_to_ctrl_c_and_is_stopped_whatever_it_is_at() -> None:
    child = start(echo, "you said ")
    child.pipe.send("a")
    assert child.pipe.recv() == "you said a"
    os.kill(child.process.pid, signal.SIGINT)
    child.pipe.send("b")
    assert child.pipe.recv() == "you said b"
    child.stop()
    assert child.process.exitcode == -signal.SIGKILL


PARENT = """
import time
from tests.dataengine.runners.test_processes import echo, pid_of_worker
from dataengine.runners.processes import pool, start
if __name__ == "__main__":
    child, workers = start(echo, ""), pool(1)
    print(child.process.pid, workers.submit(pid_of_worker, 0).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a child")
def test_children_and_pools_go_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    until = time.monotonic() + 30
    while any(_lives(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_pool_does_what_each_worker_begins_with() -> None:
    with pool(1, begin=_note_environment) as workers:
        assert workers.submit(os.getenv, "BEGUN").result() == "yes"


def _note_environment() -> None:
    os.environ["BEGUN"] = "yes"
