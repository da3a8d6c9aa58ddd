"""RLDS, as it is and by a mapping."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.group import Group, digest, ingested


def build_rlds(root: Path) -> None:
    from tests.support import all_kinds
    from tests.support.rlds_writer import write

    rng = np.random.default_rng(0)
    records = [all_kinds.episode(rng, n, i) for i, n in enumerate((3, 2))]
    write(root, "kinds", all_kinds.all_kinds(), {"train": records})


def read_rlds(root: Path) -> list[str]:
    from dataengine.errors import RecordError
    from dataengine.formats import rlds

    folder = next(path.parent for path in sorted(root.rglob("features.json")))
    digests = []
    schema = rlds.schema(folder)
    for shard in rlds.shards(folder):
        for _, record in rlds.read_shard(shard.uri, schema):
            if not isinstance(record, RecordError):
                digests.append(digest(_plain(record)))
    return digests


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes() if value.dtype != object else repr(value.tolist()))
    return [_plain(child) for child in value] if isinstance(value, list) else value


MAPPING = """\
name: pantry
embodiment: pantry_arm
control_hz: 12.5
cameras:
  primary: observation/front
  wrist: {key: observation/hand, bgr: true}
instruction: language
state_encoding: eef_pose
state:
  - {key: observation/proprio, columns: 0:3, convert: millimetres}
  - {key: observation/proprio, columns: 3:7, convert: quaternion_xyzw}
  - {key: observation/jaw, scale: 0.0125, convert: gripper_01_closes}
action_encoding: eef_delta
action:
  - {key: move}
  - {key: turn, columns: [2, 1, 0], convert: degrees}
  - {key: jaw}
raw_state: [observation/proprio, observation/jaw]
first_step: 1
"""


def build_openx(root: Path) -> None:
    from tests.support.openx_writer import write_openx

    def values(k: int) -> dict[str, Any]:
        rng = np.random.default_rng(k)
        turns = rng.normal(size=(5, 4))
        pictures = rng.integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
        return {
            "observation": {
                "front": pictures,
                "hand": pictures[:, ::-1].copy(),
                "proprio": np.column_stack([rng.normal(size=(5, 3)) * 1000, turns]).astype(np.float32),
                "jaw": rng.uniform(0, 80, (5, 1)).astype(np.float32),
            },
            "move": rng.normal(size=(5, 3)).astype(np.float32),
            "turn": rng.uniform(-40, 40, (5, 3)).astype(np.float32),
            "jaw": np.array([0, 1, 0, 0, 1], np.float32),
            "language": [f"step {i}" for i in range(5)],
        }

    write_openx(root, "pantry", [values(k) for k in range(3)])
    (root / "mapping.yaml").write_text(MAPPING)


def read_openx(root: Path) -> list[str]:
    folder = next(path.parent for path in sorted(root.rglob("features.json")))
    return ingested("openx/auto", folder, mapping=str(root / "mapping.yaml"), frame_size=32)


GROUPS = {
    "rlds": Group(
        build=build_rlds, read=read_rlds, prey=("*.tfrecord*", "features.json", "dataset_info.json"), records=True
    ),
    "openx": Group(build=build_openx, read=read_openx, prey=("*.tfrecord*", "*.json", "mapping.yaml"), records=True),
}
