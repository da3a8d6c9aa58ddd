"""Files that come late, are written to after the plan or while they are read: all comes in, once, in one state."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataengine import catalog
from dataengine.episode import Episode, Part, Reject
from dataengine.store import Corpus
from pipelines.ingest import IngestReport, run
from pipelines.ingest.config import IngestConfig
from tests.dataengine.store.clips_source import POINTER
from tests.support import lerobot_writer as lr
from tests.support.agibot_tree import TASK, write_tree
from tests.support.npz_source import content
from tests.support.openx_writer import write_openx
from tests.support.rh20t_tree import SCENE, write_root

Write = Callable[[Path], None]


def libero(root: Path) -> Path:
    draw = np.random.default_rng(0)
    episodes = [
        {
            "observation": {
                "image": draw.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8),
                "wrist_image": draw.integers(0, 255, (4, 32, 32, 3), dtype=np.uint8),
                "state": draw.normal(size=(4, 8)).astype(np.float32),
            },
            "action": draw.uniform(-1, 1, (4, 7)).astype(np.float32),
            "language_instruction": "open the drawer",
        }
        for _ in range(3)
    ]
    return write_openx(root, "libero_goal_no_noops", episodes, version="1.0.0")


def something(root: Path) -> Path:
    for i in range(3):
        lr.write_video(root / f"20bn-something-something-v2/{i}.webm", range(0, 120, 10), (48, 64), codec="libvpx-vp9")
    entries = [{"id": str(i), "label": f"moving {i}", "template": ""} for i in range(3)]
    (root / "train.json").write_text(json.dumps(entries))
    return root


def agibot(root: Path) -> Path:
    write_tree(root, TASK, ["648642", "648643"])
    return root


SOURCES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "openx/libero": (libero, "*.tfrecord*"),
    "lerobot": (lr.write_v2, f"videos/*/{lr.TOP}/*1.mp4"),
    "something_something": (something, "*/1.webm"),
    "agibot": (agibot, "proprio_stats/*/*/*.h5"),
    "rh20t": (write_root, f"{SCENE}/transformed/gripper.npy"),
}
"""Who makes the raw files of a source, and which of them is written to."""


def append(file: Path) -> None:
    with file.open("ab") as end:
        end.write(b"more")


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def replace(file: Path) -> None:
    other = file.with_name("other")
    shutil.copy(file, other)
    append(other)
    other.rename(file)


@pytest.fixture
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Path]:
    """A source, its root and the file."""
    make, pattern = SOURCES[request.param]
    root = make(tmp_path / "raw")
    return request.param, root, sorted(root.rglob(pattern))[0]


def ingest(source: str, root: Path, corpus: str = "corpus") -> IngestReport:
    target = root.parent / corpus if root.name == "raw" else root.parent.parent / corpus
    return run(IngestConfig(source=source, root=str(root), corpus=str(target)))


@pytest.mark.parametrize("raw", SOURCES, indirect=True)
@pytest.mark.parametrize("write", [append, cut, Path.unlink])
def test_a_part_looks_as_planned_until_its_files_are_written_to(raw: tuple[str, Path, Path], write: Write) -> None:
    name, root, file = raw
    source = catalog.source(name)(str(root))
    parts = source.parts()
    assert [source.fingerprint(part) for part in parts] == [part.fingerprint for part in parts]
    write(file)
    assert [source.fingerprint(part) for part in parts] != [part.fingerprint for part in parts]


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("raw", SOURCES, indirect=True)
@pytest.mark.parametrize("write", [append, cut, replace])
@pytest.mark.parametrize("after", [0, 1], ids=["before", "amid"])
def test_what_is_written_to_meanwhile_is_one_named_reject_and_comes_in_next_time(
    raw: tuple[str, Path, Path], monkeypatch: pytest.MonkeyPatch, write: Write, after: int
) -> None:
    name, root, file = raw
    source = catalog.source(name)
    read = source.read

    def read_while_somebody_writes(self: object, part: Part) -> Iterator[Episode | Reject]:
        records = read(self, part)
        for _ in range(after):
            yield next(records)
        if file.exists():
            write(file)
        yield from records

    with monkeypatch.context() as patch:
        patch.setattr(source, "read", read_while_somebody_writes)
        report = ingest(name, root)
    assert report.rejected_parts >= 1
    assert "its files were written to since the run began" in report.summary()
    assert "then the same command reads it" in report.summary()
    again = ingest(name, root)
    assert not any("since the run began" in why.reason for why in again.reasons)
    assert content(Corpus.open(again.corpus)) == content(Corpus.open(ingest(name, root, "undisturbed").corpus))


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("raw", [name for name in SOURCES if name != "openx/libero"], indirect=True)
@pytest.mark.parametrize("instead", [None, POINTER], ids=["missing", "pointer"])
def test_a_file_that_comes_late_brings_in_its_episode(raw: tuple[str, Path, Path], instead: bytes | None) -> None:
    name, root, file = raw
    file.rename(root.parent / "kept")
    if instead:
        file.write_bytes(instead)
    first = ingest(name, root)
    assert first.episodes
    assert first.rejected_records == 1
    (root.parent / "kept").rename(file)
    report = ingest(name, root)
    assert (report.episodes, report.recovered_episodes, report.rejected_parts, report.reasons) == (1, 1, 0, [])
    episodes, rejects = content(Corpus.open(report.corpus))
    wanted, _ = content(Corpus.open(ingest(name, root, "undisturbed").corpus))
    own = ("part_id", "source_fingerprint")
    assert [{k: v for k, v in row.items() if k not in own} for row in episodes] == [
        {k: v for k, v in row.items() if k not in own} for row in wanted
    ]
    assert rejects == []
