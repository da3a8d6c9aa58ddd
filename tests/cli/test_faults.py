"""What can go wrong around a command: one line, the right exit code, and what was asked for where that is possible."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus, verify
from pipelines.device import pick_device
from tests.support.corpora import make_corpus, robot_episode
from tests.support.lams import make_lam
from tests.support.npz_source import write_parts

ROOT = Path(__file__).parents[2]
NPZ = "tests.support.npz_source:NpzSource"
TINY = ("--preset", "tiny", "--steps", 2, "--set", "batch_size=32", "--device", "cpu")
VILLA = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs begin with it ignored
    "from cli.app import main; main()"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus with a text that is not ASCII, and a model that fits it."""
    root = tmp_path_factory.mktemp("made")
    episodes = [replace(robot_episode(f"r{i}", num_steps=14), dataset="Küche") for i in range(4)]
    corpus = make_corpus(root / "corpus", {"a": episodes})
    jpegs = corpus.jpegs("primary", [(e, i) for e in corpus.episode_ids() for i in range(8)])
    make_lam(root / "lam", jpegs)
    return root


def start(*argv, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", VILLA, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )


@contextmanager
def mounted(folder, *how):
    """A file system of its own at a folder."""
    if subprocess.run(["mount", *how, folder], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # threads of Lance may still close files


def test_in_an_ascii_locale_pages_and_reports_are_utf8(made, tmp_path):
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    corpus = shutil.copytree(made / "corpus", tmp_path / "corpus")  # others need one that was not judged yet
    child = start("curate", corpus, "--report", tmp_path / "page", **ascii_only)
    out, err = child.communicate()
    assert child.returncode == 0, err.decode()
    assert "Küche" in (tmp_path / "page/index.html").read_text(encoding="utf-8")
    child = start("show", corpus, "--json", **ascii_only)
    out, err = child.communicate()
    assert child.returncode == 0, err.decode()
    assert "Küche" in out.decode()


@pytest.mark.parametrize(("name", "message"), [("banana", "unknown; expected cpu, cuda"), ("meta", "not supported")])
def test_a_device_that_does_not_exist_is_wrong_usage(villa, made, tmp_path, name, message):
    corpus, lam, out = shutil.copytree(made / "corpus", tmp_path / "corpus"), made / "lam", tmp_path / "out"
    assert villa("stats", corpus).code == 0
    clip = tmp_path / "clip.mp4"
    clip.touch()
    for line in (
        ("train", "lam", corpus, "--out", out, "--preset", "tiny", "--device", name),
        ("label", corpus, "--lam", lam, "--device", name),
        ("label", "--video", clip, "--lam", lam, "--out", tmp_path / "x.npz", "--device", name),
        ("lam", "report", corpus, "--lam", lam, "--out", out, "--device", name),
        ("probe", corpus, "--lam", lam, "--set", f"device={name}"),
    ):
        said = villa(*line)
        assert said.code == 2, line
        assert f"device '{name}': {message}" in said.line


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:63", "mps"])
def test_a_device_that_this_machine_lacks_is_named(monkeypatch, name):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DataEngineError, match=f"device '{name}': torch finds 0 devices"):
        pick_device(name)
    assert str(pick_device("cpu")) == "cpu"


def test_a_corpus_that_can_only_be_read_gives_shards_and_refuses_what_must_be_written(villa, made, tmp_path):
    shutil.copytree(made / "corpus", tmp_path / "copy")
    assert villa("stats", tmp_path / "copy").code == 0
    (tmp_path / "corpus").mkdir()
    with mounted(tmp_path / "corpus", "--bind", tmp_path / "copy"):
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "corpus"], check=True)
        said = villa("shard", tmp_path / "corpus", "--out", tmp_path / "shards")
        assert said.code == 0
        assert "the run could not be recorded" in said.err
        assert (tmp_path / "shards/manifest.json").exists()
        for line in (("stats",), ("curate", "--report", tmp_path / "page"), ("label", "--lam", made / "lam")):
            said = villa(line[0], tmp_path / "corpus", *line[1:])
            assert said.code == 2, line
            assert "can only be read here" in said.line
        assert not (tmp_path / "page").exists()


@pytest.mark.slow
def test_a_picture_that_does_not_decode_stops_no_training_and_a_rule_leaves_it_out_of_exports(villa, tmp_path):
    torn = robot_episode("torn", num_steps=14)
    frames = torn.cameras["primary"]
    whole_header = frames.jpegs[5][: frames.jpegs[5].index(b"\xff\xda") + 20] + b"\xff\xd9"
    torn = replace(
        torn, cameras={"primary": replace(frames, jpegs=[*frames.jpegs[:5], whole_header, *frames.jpegs[6:]])}
    )
    others = [robot_episode(f"r{i}", num_steps=14) for i in range(5)]
    corpus = make_corpus(tmp_path / "corpus", {"a": [torn, *others]})
    assert villa("stats", corpus.uri).code == 0
    said = villa("train", "lam", corpus.uri, "--out", tmp_path / "lam", *TINY, "--set", "val_fraction=0")
    assert said.code == 0
    assert "frame 5 of camera primary does not decode" in said.err
    said = villa("export", "lerobot", corpus.uri, "--out", tmp_path / "out")
    assert (said.code, "frame 5 does not decode" in said.line) == (2, True)
    assert villa("curate", corpus.uri, "--recipe", "strict", "--set", "page=false").code == 0
    corpus.refresh()
    reasons = {row["source_record"]: row["reject_reason"] for row in corpus.table().to_pylist()}
    assert reasons["torn"].startswith("drop_broken_pictures: 1 pictures do not decode, the first is frame 5")
    assert not any("broken" in (reasons[f"r{i}"] or "") for i in range(5))
    assert villa("export", "lerobot", corpus.uri, "--out", tmp_path / "kept").code == 0


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_an_ingest_says_first_where_nothing_can_be_written(villa, tmp_path, more):
    write_parts(tmp_path / "raw", 2)
    argv = ("ingest", NPZ, tmp_path / "raw", "--workers", 1, "--corpus")
    assert villa(*argv, tmp_path / "copy/begun").code == 0
    write_parts(tmp_path / "raw", 3)
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "--bind", tmp_path / "copy"):
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "disk"], check=True)
        said = villa(*argv, tmp_path / "disk/new", *more)
        assert (said.code, f"nothing can be written in {tmp_path / 'disk'}" in said.line) == (2, True)
        said = villa(*argv, tmp_path / "disk/begun", *more)
        assert (said.code, "can only be read here" in said.line) == (2, True)
        (tmp_path / "raw/part002.npz").unlink()
        assert villa(*argv, tmp_path / "disk/begun", *more).code == 0  # nothing to do


@pytest.mark.parametrize("command", ["ingest", "curate", "stats", "label", "shard", "export", "train"])
def test_a_full_disk_is_said_in_one_line_and_the_command_goes_on(villa, made, tmp_path, command):
    disk, measured = tmp_path / "disk", shutil.copytree(made / "corpus", tmp_path / "measured")
    disk.mkdir()
    write_parts(tmp_path / "raw", 2)
    assert villa("stats", measured).code == 0
    line = {
        "ingest": ("ingest", NPZ, tmp_path / "raw", "--corpus", disk / "new", "--workers", 1),
        "curate": ("curate", disk / "corpus", "--report", tmp_path / "page"),
        "stats": ("stats", disk / "corpus"),
        "label": ("label", disk / "corpus", "--lam", made / "lam", "--device", "cpu"),
        "export": ("export", "lerobot", measured, "--out", disk / "export"),
        "train": ("train", "lam", measured, "--out", disk / "lam", *TINY),
        "shard": ("shard", measured, "--out", disk / "shards"),
    }[command]
    with mounted(disk, "-t", "tmpfs", "-o", "size=64m", "tmpfs"):
        shutil.copytree(made / "corpus", disk / "corpus")
        room = os.open(disk / "ballast", os.O_CREAT | os.O_WRONLY)
        left = shutil.disk_usage(disk).free - 4096
        os.posix_fallocate(room, 0, left)
        os.close(room)
        said = villa(*line)
        assert said.code == 1
        assert "the disk is full" in said.line
        assert "the same command continues" in said.line
        (disk / "ballast").unlink()
        assert villa(*line).code == 0


def begin_ingest(tmp_path, engine):
    """Start a long ingest in a process group of its own."""
    write_parts(tmp_path / "raw", 6)
    for i in range(6):
        (tmp_path / f"raw/part{i:03d}.slow").write_text("5")
    argv = ("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--engine", engine, "--workers", 2)
    return start(*argv)


def stopped(child, number):
    """Send a signal as a terminal or a scheduler does, and give exit code and stderr."""
    if number == signal.SIGINT:
        os.killpg(child.pid, number)
    else:
        child.send_signal(number)
    _, err = child.communicate(timeout=120)
    return child.returncode, err.decode()


def test_ctrl_c_while_workers_start_is_one_line(tmp_path):
    child = begin_ingest(tmp_path, "local")
    while len(helpers_of(child.pid)) < 2 and child.poll() is None:  # multiprocessing's tracker, and a worker
        time.sleep(0.005)
    code, err = stopped(child, signal.SIGINT)
    assert err == "villa ingest: interrupted; the same command continues where it stopped\n"
    assert code == 130


def test_ctrl_c_that_reaches_a_worker_while_it_starts_is_left_to_the_driver(tmp_path):
    write_parts(tmp_path / "raw", 2)
    child = start("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 2)
    asked = set()
    while child.poll() is None:
        for worker in helpers_of(child.pid)[1:]:  # behind multiprocessing's tracker
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGINT)
                asked.add(worker)
        time.sleep(0.005)
    _, err = child.communicate()
    assert len(asked) == 2  # none died and had to be replaced
    assert "Traceback" not in err.decode()
    assert child.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "number", "expected"),
    [
        ("ray", signal.SIGINT, (130, "interrupted")),
        ("ray", signal.SIGTERM, (143, "terminated")),
        ("local", signal.SIGTERM, (143, "terminated")),
    ],
)
def test_a_stopped_ingest_says_so_in_one_line(tmp_path, engine, number, expected):
    child = begin_ingest(tmp_path, engine)
    while not (tmp_path / "raw/reads.log").exists() and child.poll() is None:
        time.sleep(0.1)
    code, err = stopped(child, number)
    assert err == f"villa ingest: {expected[1]}; the same command continues where it stopped\n"
    assert code == expected[0]
    assert verify(Corpus.open(tmp_path / "corpus")).ok


@pytest.mark.slow
@pytest.mark.parametrize("server", ["gcs_server", "raylet"])
def test_sigterm_to_the_group_while_ray_starts_is_one_line_too(tmp_path, server):
    """As a scheduler sends it: Ray, half started, must neither take it for itself nor lose its servers to it."""
    child = begin_ingest(tmp_path, "ray")
    while server not in programs_of(child.pid) and child.poll() is None:
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGTERM)
    _, err = child.communicate(timeout=20)  # Ray by itself takes half a minute
    assert err.decode() == "villa ingest: terminated; the same command continues where it stopped\n"
    assert child.returncode == 143


def programs_of(pid):
    """Names of the programs that a process has started."""
    names = []
    for child in helpers_of(pid):
        with suppress(OSError):  # gone in the meantime
            names.append(Path(f"/proc/{child}/exe").readlink().name)
    return names


def helpers_of(pid):
    """Processes that a process has started, the first one first."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
