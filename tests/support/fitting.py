"""A policy whose training was just like the robot on a line, and changes to what its checkpoint says."""

import json
from pathlib import Path
from typing import Any

from tests.support.policies import save_policy


def fitting_policy(folder: Path, *, wrist: bool = False) -> Path:
    """Write it."""
    save_policy(folder, robots=("sawyer",), rates_hz=(20.0,), wrist=wrist)
    for column, half in (("state", 1.0), ("action", 0.1)):
        change(folder, "statistics", "sawyer", column, "q01", to=[-half] * 7)
        change(folder, "statistics", "sawyer", column, "q99", to=[half] * 7)
    change(folder, "statistics", "sawyer", "state", "grippers", to=[6])
    return folder


def change(policy: Path, *keys: str, to: Any) -> None:
    """Say something else at a path of keys."""
    path = policy / "model_config.json"
    whole = json.loads(path.read_text())
    *parents, last = keys
    inner = whole
    for key in parents:
        inner = inner[key]
    inner[last] = to
    path.write_text(json.dumps(whole))
