"""Video files: what a container holds, its frames by time and by number."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Give what `dataengine.formats.video.video` has: scripts know it by this shorter path."""
    return getattr(importlib.import_module("dataengine.formats.video.video"), name)
