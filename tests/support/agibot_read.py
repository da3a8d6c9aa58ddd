"""Reads a tree of AgiBot World as a worker does."""

import pickle
from pathlib import Path
from typing import Any

from dataengine import catalog
from dataengine.episode import Episode, Reject


def read_all(root: Path, **settings: Any) -> list[Episode | Reject]:
    source = pickle.loads(pickle.dumps(catalog.source("agibot")(str(root), **settings)))
    return [outcome for part in source.parts() for outcome in source.read(part)]
