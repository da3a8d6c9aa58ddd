"""However often its writing was killed, an export ends in the same files; it never writes over something else."""

import fcntl
import hashlib
import os
import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from dataengine.errors import DataEngineError
from tests.support.corpora import make_corpus, robot_episode
from tests.support.lerobot_export import (
    export,
)


def trees(out):
    return {
        str(path.relative_to(out)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_a_second_run_does_nothing_and_two_processes_write_the_same_files(corpus, out, tmp_path):
    before = trees(out)
    report = export(corpus, out)
    assert "nothing to do" in report.summary()
    assert trees(out) == before
    export(corpus, tmp_path, workers=2)
    assert trees(tmp_path) == before


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_ends_in_the_same_files(corpus, tmp_path):
    argv = ["--set", "video_mb=0.012", "--workers", "2"]
    wanted, got = tmp_path / "wanted", tmp_path / "got"
    command = [sys.executable, "-m", "cli", "export", "lerobot", corpus.uri, "--out"]
    started = time.monotonic()
    subprocess.run([*command, str(wanted), *argv], check=True, capture_output=True)
    whole_s = time.monotonic() - started
    draw = random.Random(0)
    for _ in range(4):
        child = subprocess.Popen([*command, str(got), *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(draw.uniform(0.3, 1.0) * whole_s)
        child.kill()
        child.communicate()
    subprocess.run([*command, str(got), *argv], check=True, capture_output=True)
    assert trees(got) == trees(wanted)


def test_a_run_cut_short_leaves_nothing_that_looks_like_a_dataset_and_goes_on(corpus, out, tmp_path, monkeypatch):
    from dataengine.export.lerobot import lerobot

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(lerobot.Export, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        export(corpus, tmp_path)
    assert not list(tmp_path.rglob("info.json"))
    monkeypatch.undo()
    (tmp_path / "arm_10hz/meta/episodes/chunk-000/file-000.parquet").unlink()
    (tmp_path / "arm_10hz/.villa/99-data-chunk-000-file-000.parquet").write_bytes(b"PAR1 half of it")
    report = export(corpus, tmp_path)
    assert [d.files - d.resumed_files for d in report.datasets] == [1, 0, 0]
    assert trees(tmp_path) == trees(out)


def test_a_folder_of_something_else_is_not_written_to(corpus, out, tmp_path):
    before = trees(out)
    with pytest.raises(DataEngineError, match="holds a dataset of other episodes or settings"):
        export(corpus, out, crf=10)
    assert trees(out) == before
    (tmp_path / "arm_10hz").mkdir()
    (tmp_path / "arm_10hz/thesis.tex").touch()
    with pytest.raises(DataEngineError, match=r"did not write \(arm_10hz\)"):
        export(corpus, tmp_path)
    handle = os.open(out / ".villa-lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(DataEngineError, match="another command is writing to it"):
        export(corpus, out)
    os.close(handle)


def test_a_frame_that_does_not_decode_is_named_with_its_episode(tmp_path):
    episode = robot_episode("bad", num_steps=4)
    frames = episode.cameras["primary"]
    data = frames.jpegs[2]
    scan = data.index(b"\xff\xda") + 20
    cut = [*frames.jpegs[:2], data[:scan] + b"\xff\xd9", frames.jpegs[3]]  # whole to those who read headers
    bad = replace(episode, cameras={"primary": replace(frames, jpegs=cut)})
    corpus = make_corpus(tmp_path / "corpus", {"p": [bad]})
    with pytest.raises(DataEngineError) as error:
        export(corpus, tmp_path / "out")
    assert f"episode {bad.episode_id}, camera primary, frame 2 does not decode" in str(error.value)
    assert "\n" not in str(error.value)
