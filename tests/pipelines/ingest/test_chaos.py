"""Kills for real: whatever dies whenever, the same command run again ends in the same rows."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataengine.store import Corpus, verify
from dataengine.store.commit.receipts import Receipt
from tests.support.npz_source import content, write_parts

ROOT = Path(__file__).parents[3]
NUM_PARTS = 10

PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell begin with it ignored
import json
import sys
sys.path.insert(0, sys.argv[1])
from pipelines.ingest import IngestConfig, run
import pipelines.ingest.engine

if __name__ == "__main__":
    pipelines.ingest.engine.COMMIT_PARTS = 2  # many commits, so that many moments are in the middle of one
    words = {"source": "tests.support.npz_source:NpzSource", "workers": 2, "max_attempts": 99}
    config = IngestConfig(root=sys.argv[2], corpus=sys.argv[3], **words, **json.loads(sys.argv[4]))
    print(run(config).model_dump_json())
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_parts(tmp_path / "raw", NUM_PARTS)
    (tmp_path / "raw" / "part002.bad").write_text("1")
    (tmp_path / "raw" / "part005.bad").write_text("3")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "raw"


def several(*num_kills: int) -> list[object]:
    """Few kills for every run of the tests, and so many that rare moments are met, too."""
    few, many = num_kills
    return [few, pytest.param(many, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]


def start(raw: Path, corpus: Path, **settings: object) -> subprocess.Popen[str]:
    program = [sys.executable, str(raw.parent / "program.py")]
    command = [*program, str(ROOT), str(raw), str(corpus), json.dumps(settings)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate()
    assert child.returncode == 0, err
    return out


PATIENCE_S = 10.0
READERS = (b"spawn_main", b"ray::_read")
VICTIMS = ("worker", "driver", "committer")


def workers_of(driver: int) -> list[int]:
    """The readers that a driver, or a server that it started, has at work; others are helpers of Python and Ray."""
    pids: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gone in the meantime
        for thread in Path(f"/proc/{driver}/task").iterdir():
            for pid in map(int, (thread / "children").read_text().split()):
                is_reader = any(name in Path(f"/proc/{pid}/cmdline").read_bytes() for name in READERS)
                pids += [pid] if is_reader else workers_of(pid)
    return pids


def manifests(corpus: Path) -> set[Path]:
    return set((corpus / "episodes.lance" / "_versions").glob("*.manifest"))


def kill_at_a_random_moment(child: subprocess.Popen[str], corpus: Path, victim: str, draw: random.Random) -> bool:
    """Kill a worker, the driver, or the driver right after a commit; False if the run was over before."""
    deadline = time.monotonic() + (PATIENCE_S if victim == "committer" else draw.uniform(0.1, 3.0))
    before = manifests(corpus)
    while time.monotonic() < deadline and child.poll() is None:
        if victim == "committer" and manifests(corpus) - before:
            break
        time.sleep(0.002)
    if child.poll() is not None:
        return False
    if victim == "worker":
        if not (workers := workers_of(child.pid)):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(draw.choice(workers), signal.SIGKILL)
    else:
        child.kill()
        child.communicate()
    return True


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", several(3, 50))
def test_sigkills_at_random_moments_change_nothing_in_the_end(num_kills: int, raw: Path, tmp_path: Path) -> None:
    finish(start(raw, tmp_path / "undisturbed"))
    corpus = tmp_path / "killed"
    draw = random.Random(0)
    killed = 0
    child = start(raw, corpus)
    while killed < num_kills:
        if child.poll() is not None:
            out, err = child.communicate()
            assert child.returncode in (0, -signal.SIGKILL), err
            if child.returncode == 0 and '"committed_parts":0' in out:  # all is done: begin again with a new corpus
                assert content(Corpus.open(corpus)) == content(Corpus.open(tmp_path / "undisturbed"))
                corpus = tmp_path / f"killed{killed}"
            child = start(raw, corpus)
            for part in range(NUM_PARTS):
                (raw / f"part{part:03d}.slow").write_text("0.15")
        killed += kill_at_a_random_moment(child, corpus, VICTIMS[killed % len(VICTIMS)], draw)
    child.kill()
    child.communicate()
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.slow").unlink()
    finish(start(raw, corpus))
    assert content(Corpus.open(corpus)) == content(Corpus.open(tmp_path / "undisturbed"))
    assert verify(Corpus.open(corpus), deep=True).ok


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", several(3, 10))
def test_sigkills_of_ray_readers_and_drivers_change_nothing_in_the_end(
    num_kills: int, raw: Path, tmp_path: Path
) -> None:
    finish(start(raw, tmp_path / "undisturbed"))
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.slow").write_text("0.3")
    draw = random.Random(1)
    killed: list[str] = []
    corpus = tmp_path / "killed0"
    child = start(raw, corpus, engine="ray")
    while len(killed) < num_kills:
        while not (workers := workers_of(child.pid)) and child.poll() is None:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 1.0))
        victim = "driver" if len(killed) % 3 == 2 else "worker"
        if child.poll() is None and victim == "driver":
            child.kill()
            killed.append(victim)
        elif child.poll() is None and (workers := workers_of(child.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(workers), signal.SIGKILL)
                killed.append(victim)
        if killed[-1:] == ["driver"] or child.poll() is not None:
            _, err = child.communicate()
            assert child.returncode in (0, -signal.SIGKILL), err
            if child.returncode == 0:  # begin again with a new corpus
                assert content(Corpus.open(corpus)) == content(Corpus.open(tmp_path / "undisturbed"))
                corpus = tmp_path / f"killed{len(killed)}"
            child = start(raw, corpus, engine="ray")
    finish(child)
    assert content(Corpus.open(corpus)) == content(Corpus.open(tmp_path / "undisturbed"))
    assert verify(Corpus.open(corpus), deep=True).ok


@pytest.mark.slow
@pytest.mark.parametrize("num_kills", several(3, 10))
def test_sigkills_while_rejected_records_come_in_bring_none_twice(num_kills: int, raw: Path, tmp_path: Path) -> None:
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.bad").write_text("2")
    corpus = tmp_path / "corpus"
    finish(start(raw, corpus))
    for part in range(1, NUM_PARTS):
        (raw / f"part{part:03d}.bad").unlink()
    finish(start(raw, tmp_path / "undisturbed"))
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.slow").write_text("0.15")
    shutil.copytree(corpus, tmp_path / "rejected")
    draw = random.Random(2)
    killed = 0
    child = start(raw, corpus, retry_rejected=True)
    while killed < num_kills:
        if child.poll() is not None:
            out, err = child.communicate()
            assert child.returncode in (0, -signal.SIGKILL), err
            if '"recovered_episodes":0' in out:  # all is in: begin again
                assert episodes(corpus) == episodes(tmp_path / "undisturbed")
                shutil.rmtree(corpus)
                shutil.copytree(tmp_path / "rejected", corpus)
            child = start(raw, corpus, retry_rejected=True)
        killed += kill_at_a_random_moment(child, corpus, VICTIMS[killed % len(VICTIMS)], draw)
    child.kill()
    child.communicate()
    finish(start(raw, corpus, retry_rejected=True))
    assert episodes(corpus) == episodes(tmp_path / "undisturbed")
    assert sorted(Corpus.open(corpus).rejects()["record"].to_pylist()) == ["part000/0", "part000/1"]
    assert verify(Corpus.open(corpus), deep=True).ok


def episodes(corpus: Path) -> list[dict[str, object]]:
    """All that a corpus holds of its episodes, but for which reading of a part brought them."""
    return [{key: value for key, value in row.items() if key != "part_id"} for row in content(Corpus.open(corpus))[0]]


@pytest.mark.slow
def test_of_two_ingests_of_one_dataset_at_once_the_second_is_told_of_the_first(raw: Path, tmp_path: Path) -> None:
    finish(start(raw, tmp_path / "alone"))
    both = [start(raw, tmp_path / "together") for _ in range(2)]
    ends = [(*child.communicate(), child.returncode) for child in both]
    refused = [err for _, err, code in ends if code]
    committed = [json.loads(out)["committed_parts"] for out, _, code in ends if not code]
    assert sum(committed) == NUM_PARTS - 1  # one holds bad records alone
    assert all("another `villa ingest` (pid " in err and "is at work on npz; wait for that" in err for err in refused)
    assert content(Corpus.open(tmp_path / "together")) == content(Corpus.open(tmp_path / "alone"))
    assert list((tmp_path / "together" / "_staging").glob("*.json")) == []


@pytest.mark.slow
def test_ctrl_c_stops_all_workers_and_what_they_staged_is_not_read_again(raw: Path, tmp_path: Path) -> None:
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.slow").write_text("0.2")
    child = start(raw, tmp_path / "corpus")
    staging = tmp_path / "corpus" / "_staging"
    while len(list(staging.glob("*.json"))) < 1:
        assert child.poll() is None
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, err = child.communicate()
    assert child.returncode != 0
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert err.count("Traceback") == 1
    kept = [Receipt.from_json(file.read_text()).part_name for file in staging.glob("*.json")]
    before = len((raw / "reads.log").read_text().split())
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.slow").unlink()
    assert before < NUM_PARTS
    finish(start(raw, tmp_path / "corpus"))
    reads = (raw / "reads.log").read_text().split()
    assert [reads.count(name) for name in kept] == [1] * len(kept)
    assert verify(Corpus.open(tmp_path / "corpus"), deep=True).ok


@pytest.mark.slow
def test_a_killed_driver_leaves_no_worker_behind(raw: Path, tmp_path: Path) -> None:
    for part in range(NUM_PARTS):
        (raw / f"part{part:03d}.slow").write_text("1000")
    child = start(raw, tmp_path / "corpus")
    while not (raw / "reads.log").exists():
        assert child.poll() is None
        time.sleep(0.02)
    child.kill()
    child.communicate()  # returns once every process that holds its pipes is gone
