"""A source for tests that divides small files into parts by their bytes, as sources of clips and LeRobot's do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import RecordError
from dataengine.formats import files, lfs
from dataengine.sources._parts import episode_or_reject, grouped
from tests.support.npz_source import make_episode

CLIP_BYTES = 1_000
PART_BYTES = 3_500
"""Four clips."""
POINTER = lfs.START + b"v1\noid sha256:00\nsize 1000\n"
LONG_POINTER = POINTER.ljust(900)
"""One that leaves the bounds between parts where they are."""


def write_clips(root: Path, seeds: range, steps: int = 3) -> None:
    """Write a clip for each seed; its numbers follow from the seed, its name and its steps."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "count").exists():
        (root / "count").write_text(str(len(seeds)))
    for seed in seeds:
        (root / f"clip{seed:02d}").write_text(json.dumps({"seed": seed, "steps": steps}).ljust(CLIP_BYTES))


class ClipsSource:
    """Lists as many clips as file `count` says, there or not; a part is named after its first clip."""

    name: ClassVar[str] = "clips"
    kind: ClassVar[str] = "robot"
    embodiment: ClassVar[str] = "arm"
    control_hz: ClassVar[float] = 10.0
    layout: ClassVar[str] = "files"
    licence: ClassVar[str] = "CC0"

    def __init__(self, root: str, *, frame_size: int = 256, frame_hz: float = 10.0) -> None:
        self.root = Path(root)

    def parts(self) -> list[Part]:
        return [
            Part(
                dataset=self.name,
                name=paths[0].name,
                uri=str(self.root),
                num_bytes=num_bytes,
                fingerprint=files.fingerprint_of_sizes(paths),
                options={"clips": " ".join(path.name for path in paths)},
            )
            for paths, num_bytes in grouped(self._sized(), PART_BYTES)
        ]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        with (self.root / "reads.log").open("a") as log:
            log.write(f"{part.name}\n")
        for name in part.options["clips"].split():
            yield episode_or_reject(part, name, str(self.root / name), self._episode, name)

    def fingerprint(self, part: Part) -> str:
        return files.fingerprint_of_sizes([self.root / name for name in part.options["clips"].split()])

    def _sized(self) -> list[tuple[Path, int]]:
        count = int((self.root / "count").read_text())
        paths = [self.root / f"clip{i:02d}" for i in range(count)]
        return [(path, files.size(path) or 0) for path in paths]

    def _episode(self, name: str) -> Episode:
        data = files.read_bytes(self.root / name, 10 * CLIP_BYTES)
        try:
            label = json.loads(data)
        except ValueError as error:
            raise RecordError(lfs.why(data, "no clip")) from error
        return make_episode(name, steps=label["steps"], seed=label["seed"], dataset=self.name)
