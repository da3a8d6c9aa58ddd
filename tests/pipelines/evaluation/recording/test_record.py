"""A whole recording, killed once on its way, as its readers find it."""

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataengine import catalog
from dataengine.episode import Episode
from dataengine.errors import DataEngineError
from pipelines.evaluation.recording.record import Recording, record

pytestmark = pytest.mark.slow

COMMAND = "import sys; from pipelines.evaluation.recording.record import record; record(sys.argv[1], 'quick')"


@dataclass(frozen=True)
class Recorded:
    out: Path
    before_the_kill: dict[Path, int]
    """Files that were finished, and when they were written."""
    recordings: list[Recording]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    out = tmp_path_factory.mktemp("raw") / "demo"
    child = subprocess.Popen([sys.executable, "-c", COMMAND, str(out)], start_new_session=True)
    while child.poll() is None and len(list(out.glob("attempts/metaworld/*.npz"))) < 2:
        time.sleep(0.05)
    assert child.poll() is None, "the recording failed before it could be killed"
    child.kill()
    child.wait()
    while _alive(child.pid):
        time.sleep(0.05)  # its workers die with it
    finished = {file: file.stat().st_mtime_ns for file in out.glob("attempts/*/*.npz")}
    return Recorded(out, finished, record(out, "quick"))


def _alive(session: int) -> bool:
    try:
        os.killpg(session, 0)  # asks, kills nothing
    except ProcessLookupError:
        return False
    return True


def test_a_killed_recording_goes_on_where_it_was(recorded: Recorded) -> None:
    assert recorded.before_the_kill
    for file, written_ns in recorded.before_the_kill.items():
        assert file.stat().st_mtime_ns == written_ns, f"{file.name} was recorded twice"


def test_nothing_unfinished_is_left(recorded: Recorded) -> None:
    left = list((recorded.out / "agibot").rglob(".*"))
    left += list((recorded.out / "something_something").rglob(".*"))
    left += list((recorded.out / "rlds").rglob("*incomplete*"))
    assert left == []


def test_the_sources_read_every_episode_of_it(recorded: Recorded) -> None:
    for recording in recorded.recordings:
        source = catalog.source(recording.source)(recording.root)
        outcomes = [one for part in source.parts() for one in source.read(part)]
        kinds = Counter(type(one).__name__ for one in outcomes)
        spoilt = {"Reject": 1} if recording.source == "something_something" else {}
        assert kinds == {"Episode": recording.episodes, **spoilt}, recording.source
        episodes = [one for one in outcomes if isinstance(one, Episode)]
        if episodes[0].kind == "robot":
            assert sum(e.num_steps for e in episodes) == recording.steps
        assert all(e.instruction for e in episodes)


def test_a_second_call_does_nothing_and_says_the_same(recorded: Recorded) -> None:
    files = {f: f.stat().st_mtime_ns for f in recorded.out.rglob("*") if f.suffix in (".npz", ".h5", ".mp4", ".webm")}
    assert record(recorded.out, "quick") == recorded.recordings
    assert files == {f: f.stat().st_mtime_ns for f in files}


def test_scales_are_not_mixed_in_one_folder(recorded: Recorded) -> None:
    with pytest.raises(DataEngineError, match="holds recordings of scale 'quick', not 'demo'"):
        record(recorded.out, "demo")
