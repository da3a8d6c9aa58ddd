"""LeRobot of each layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.group import Group, ingested


def build_lerobot(version: str) -> Callable[[Path], Any]:
    def build(root: Path) -> None:
        from tests.support import lerobot_writer

        (lerobot_writer.write_v3 if version == "v3.0" else lerobot_writer.write_v2)(root / "cubes")

    return build


def build_lerobot_images(root: Path) -> None:
    """Pictures in the rows, and texts by step."""
    import pyarrow as pa

    from tests.support import lerobot_writer as lr

    for i, length in enumerate(lr.LENGTHS):
        pictures = [{"bytes": lr.png(lr.level(i, k), lr.SIDES[lr.TOP]), "path": None} for k in range(length)]
        rows = lr.rows_of(i, 0) | {lr.TOP: pa.array(pictures), "language": pa.array([f"do {i}"] * length)}
        lr.write_rows(root / f"cubes/data/chunk-000/episode_{i:06d}.parquet", rows)
    features = {**lr.FEATURES, lr.TOP: lr.camera(lr.TOP, "image"), "language": {"dtype": "string", "shape": [1]}}
    lr.write_json(root / "cubes/meta/info.json", lr.info("v2.1", features))
    entries = [{"episode_index": i, "tasks": [lr.TASKS[i]], "length": n} for i, n in enumerate(lr.LENGTHS)]
    lr.write_lines(root / "cubes/meta/episodes.jsonl", entries)
    lr.write_lines(root / "cubes/meta/tasks.jsonl", [{"task_index": i, "task": t} for i, t in enumerate(set(lr.TASKS))])


GROUPS = {
    "lerobot v3.0": Group(build=build_lerobot("v3.0"), read=lambda root: ingested("lerobot", root / "cubes")),
    "lerobot v2.1": Group(build=build_lerobot("v2.1"), read=lambda root: ingested("lerobot", root / "cubes")),
    "lerobot images": Group(build=build_lerobot_images, read=lambda root: ingested("lerobot", root / "cubes")),
}
