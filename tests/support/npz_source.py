"""A source for tests: each `.npz` below the root is a part. Its `behaviour` can be set with files beside it."""

import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import simplejpeg

from dataengine.digest import stable_id
from dataengine.episode import CameraFrames, Episode, Part, Reject
from dataengine.errors import SourceError
from dataengine.store import Corpus
from dataengine.texts import whole_episode


def make_jpeg(height: int, width: int, seed: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image.repeat(8, 0).repeat(8, 1)), 90, "RGB", "420")


def make_episode(
    record: str = "r0", *, steps: int = 5, seed: int = 0, cameras: tuple[str, ...] = ("primary",), **changes: object
) -> Episode:
    """An episode of a seven-dimensional arm, 32 by 48 pixels, with numbers drawn from `seed`."""
    draw = np.random.default_rng(seed)
    frames = {
        slot: CameraFrames(
            jpegs=[make_jpeg(32, 48, seed * 1000 + 100 * i + t) for t in range(steps)],
            height=32,
            width=48,
            native_height=320,
            native_width=480,
        )
        for i, slot in enumerate(cameras)
    }
    values: dict[str, object] = {
        "dataset": "npz",
        "source_record": record,
        "source_uri": f"somewhere/{record}",
        "embodiment": "arm",
        "kind": "robot",
        "control_hz": 10.0,
        "texts": whole_episode([f"do {record}"], steps),
        "time_ns": np.arange(steps) * 100_000_000,
        "cameras": frames,
        "state": draw.normal(size=(steps, 7)).astype(np.float32),
        "action": draw.normal(size=(steps, 7)).astype(np.float32),
        "raw_state": draw.normal(size=(steps, 4)).astype(np.float32),
        "raw_action": draw.normal(size=(steps, 3)).astype(np.float32),
        "state_encoding": "eef_pose",
        "action_encoding": "eef_delta",
        **changes,
    }
    return Episode(**values)  # type: ignore[arg-type]


def write_parts(root: Path, num_parts: int, episodes: int = 3, steps: int = 5) -> None:
    """Write parts whose numbers follow from their names alone."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(num_parts):
        np.savez(root / f"part{i:03d}.npz", seeds=np.arange(episodes) + 100 * i, steps=steps)


class NpzSource:
    """Reads what `write_parts` wrote. A file `<part>.<trouble>` beside a part makes its reader behave badly.

    `raise` fails, `die` kills the process, `hang` sleeps, each as often as the file says (empty: always);
    `bad` holds a number of bad records, `filtered` of those that a rule leaves out; `slow` holds seconds for each
    episode, `notes` its notes as JSON.
    """

    name: ClassVar[str] = "npz"
    kind: ClassVar[str] = "robot"
    embodiment: ClassVar[str] = "arm"
    other_embodiments: ClassVar[tuple[str, ...]] = ("hand",)
    control_hz: ClassVar[float] = 10.0
    layout: ClassVar[str] = "npz files"
    licence: ClassVar[str] = "CC0"

    def __init__(self, root: str, *, frame_size: int = 256, frame_hz: float = 10.0) -> None:
        self.root = Path(root)

    def parts(self) -> list[Part]:
        if not self.root.is_dir():
            raise SourceError(f"{self.root}: found nothing, expected a folder of npz files")
        return [
            Part(
                dataset=self.name,
                name=file.stem,
                uri=str(file),
                num_bytes=file.stat().st_size,
                fingerprint=stable_id(file.read_bytes().hex()),
            )
            for file in sorted(self.root.glob("*.npz"))
        ]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        data = np.load(io.BytesIO(Path(part.uri).read_bytes()))
        with (self.root / "reads.log").open("a") as log:
            log.write(f"{part.name}\n")
        num_bad, num_filtered = (int(self._trouble(part, trouble) or 0) for trouble in ("bad", "filtered"))
        notes = json.loads(self._trouble(part, "notes") or "{}")
        for i, seed in enumerate(data["seeds"]):
            time.sleep(float(self._trouble(part, "slow") or 0))
            record = f"{part.name}/{i}"
            if i == 1:
                self._misbehave(part)
            if i < max(num_bad, num_filtered):
                what = {"reason": "bad record"} if i < num_bad else {"reason": "failed", "error": "FilteredRecordError"}
                yield Reject(part_id=part.part_id, dataset=self.name, source_uri=part.uri, record=record, **what)
                continue
            cameras = ("primary", "wrist") if i % 2 else ("primary",)
            yield make_episode(record, steps=int(data["steps"]) + i, seed=int(seed), cameras=cameras, notes=notes)

    def _misbehave(self, part: Part) -> None:
        if self._take(part, "raise"):
            raise RuntimeError("the disk sneezed")
        if self._take(part, "die"):
            os.kill(os.getpid(), 9)
        if self._take(part, "hang"):
            time.sleep(600)

    def _take(self, part: Part, trouble: str) -> bool:
        """Use up one of the troubles that a file grants."""
        left = self._trouble(part, trouble)
        if left is None or left == "0":
            return False
        if left:
            (self.root / f"{part.name}.{trouble}").write_text(str(int(left) - 1))
        return True

    def _trouble(self, part: Part, trouble: str) -> str | None:
        file = self.root / f"{part.name}.{trouble}"
        return file.read_text() if file.exists() else None


def content(corpus: Corpus) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """All rows and rejects of a corpus in an order and form that two runs share; frames as bytes.

    How often a part was tried is left out: a reader that is killed is started once more.
    """
    corpus.refresh()
    rows = corpus.table().drop_columns(["run_id"]).to_pylist()
    for row in rows:
        episode = corpus.episode(row["episode_id"])
        row["jpegs"] = {slot: episode.jpegs(slot) for slot in episode.cameras}
    rejects = corpus.rejects().drop_columns(["run_id", "traceback_digest", "attempts"]).to_pylist()
    return sorted(rows, key=lambda r: r["episode_id"]), sorted(rejects, key=lambda r: r["reject_id"])


class OtherSource(NpzSource):
    """The same files as another dataset."""

    name: ClassVar[str] = "other"

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        for record in super().read(part):
            yield replace(record, dataset=self.name)
