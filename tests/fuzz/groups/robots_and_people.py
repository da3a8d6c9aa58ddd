"""AgiBot World, RH20T and Something-Something."""

import tempfile
from pathlib import Path

from tests.fuzz.group import Group, ingested


def build_agibot(root: Path) -> None:
    from tests.support import agibot_tree

    agibot_tree.write_tree(root, "327", ["648642", "648700"])


def build_agibot_tars(root: Path) -> None:
    from tests.support import agibot_tree

    with tempfile.TemporaryDirectory() as aside:
        agibot_tree.write_tree(Path(aside), "327", ["648642", "648700", "650001"])
        agibot_tree.pack(Path(aside), root, {"327": [(648642, 648700), (650001, 650001)]}, [(648642, 651000)])


def build_rh20t(root: Path) -> None:
    from tests.support import rh20t_tree

    rh20t_tree.write_scene(root, serials=(rh20t_tree.FRONT, rh20t_tree.WRIST))
    rh20t_tree.write_texts(root)


def build_something(root: Path) -> None:
    from tests.support import something_something_tree as ssv2

    (root / ssv2.VIDEOS).mkdir(parents=True)
    for name in ("7", "42"):
        ssv2.write_clip(root / ssv2.VIDEOS / f"{name}.webm", 24)
    ssv2.write_json(root, "train", [ssv2.entry("42"), ssv2.entry("7", "holding a cup ")])
    ssv2.write_json(root, "validation", [])


GROUPS = {
    "agibot": Group(build=build_agibot, read=lambda root: ingested("agibot", root), prey=("*.h5", "*.mp4", "*.json")),
    "agibot tars": Group(build=build_agibot_tars, read=lambda root: ingested("agibot", root), prey=("*.tar", "*.json")),
    "rh20t": Group(build=build_rh20t, read=lambda root: ingested("rh20t", root)),
    "something": Group(build=build_something, read=lambda root: ingested("something_something", root)),
}
