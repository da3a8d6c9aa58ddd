"""Something-Something V2 as its publisher ships it, in miniature."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dataengine.formats.video import video

VIDEOS = "20bn-something-something-v2"


def entry(name: str, label: str = "putting a cup on a book") -> dict[str, Any]:
    return {
        "id": name,
        "label": label,
        "template": "Putting [something] on [something]",
        "placeholders": ["a cup", "a book"],
    }


def write_clip(path: Path, num_frames: int) -> None:
    frames = (np.full((240, 136, 3), 6 * i, np.uint8) for i in range(num_frames))
    video.encode(path, frames, 12, "vp9")


def write_json(root: Path, name: str, value: list[dict]) -> None:
    (root / f"{name}.json").write_text(json.dumps(value))
