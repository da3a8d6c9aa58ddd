"""Readers that do all that none should: what tells whether the pool notices."""

import os
from pathlib import Path

import numpy as np

from dataengine.errors import RecordError
from tests.fuzz.group import Group

SOUND = b"in order" * 8


def _misbehave(root: Path) -> None:
    """Do what the tree says, once its file is damaged."""
    data = (root / "order.bin").read_bytes()
    if data == SOUND:
        return
    what = root.joinpath("what").read_text()
    if what == "crash":
        os.abort()
    if what == "hang":
        while True:
            pass
    if what == "bomb":
        np.ones(10**10, np.uint8)
    if what == "slip":
        raise KeyError("order")
    if what == "named":
        raise RecordError("order.bin: no order")


def _ordered(what: str) -> Group:
    def build(root: Path) -> None:
        root.mkdir(parents=True)
        (root / "order.bin").write_bytes(SOUND)
        (root / "what").write_text(what)

    return Group(build=build, read=_misbehave, prey=("order.bin",))


MISBEHAVING = {"crash": "crash", "hang": "hang", "bomb": "over memory", "slip": "other exception", "sleep": "read"}


EXPECTED = {
    "crash": "crash",
    "hang": "hang",
    "bomb": "over memory",
    "slip": "other exception",
    "named": "named error",
    "none": "read",
}
GROUPS = {what: _ordered(what) for what in EXPECTED}
