"""The four digital twins of BridgeData V2 in ManiSkill3: what they are called, and the files that each is made of."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

DATASET = Path("tasks/bridge_v2_real2sim_dataset")
ROBOT = Path("robots/widowx")
ROBOT_FILES = ("wx250s.urdf", "wx250s.srdf", "interbotix_black.png")
ROBOT_MESHES = (
    "1-Base",
    "2-Shoulder",
    "3-UA",
    "4-UF",
    "5-LF",
    "6-Wrist",
    "7-Gripper",
    "8-Gripper-Prop",
    "9-Gripper-Bar",
)
PUBLISHED = MappingProxyType(
    {
        "stages/bridge_table_1_v1.glb": "0eb8c869fc5503c834e20efc45fe2dedb5a599ce",
        "stages/bridge_table_1_v2.glb": "893b8a2f17f4b8acd1aa496433f8708d4b3cdb3b",
    }
)
"""Git's digests of what objects stand on, in simpler-env/ManiSkill2_real2sim: another table is another benchmark."""
PICTURE_OF_MESH = re.compile(r"<init_from>([^<]+\.(?:png|jpe?g))</init_from>")


@dataclass(frozen=True)
class Twin:
    """One task."""

    env: str
    """Its name in ManiSkill3."""
    models: tuple[str, ...]
    stage: str = "bridge_table_1_v1.glb"
    background: str = "bridge_real_eval_1.png"
    table: str = "info_bridge_custom_v0.json"
    grip_m: float = 0.0
    """Where the first model is best taken, along its own x axis."""


TWINS: Mapping[str, Twin] = MappingProxyType(
    {
        "widowx_spoon_on_towel": Twin(
            "PutSpoonOnTableClothInScene-v1",
            ("bridge_spoon_generated_modified", "table_cloth_generated_shorter"),
            grip_m=0.03,  # the handle; from the neck, whose sides run together, the fingers slip off
        ),
        "widowx_carrot_on_plate": Twin(
            "PutCarrotOnPlateInScene-v1", ("bridge_carrot_generated_modified", "bridge_plate_objaverse_larger")
        ),
        "widowx_stack_cube": Twin(
            "StackGreenCubeOnYellowCubeBakedTexInScene-v1",
            ("baked_green_cube_3cm", "baked_yellow_cube_3cm"),
            table="info_bridge_custom_baked_tex_v0.json",
        ),
        "widowx_put_eggplant_in_basket": Twin(
            "PutEggplantInBasketScene-v1",
            ("eggplant", "dummy_sink_target_plane", "sink"),
            stage="bridge_table_1_v2.glb",
            background="bridge_sink.png",
        ),
    }
)


def assets_root() -> Path:
    """Give the folder in which ManiSkill looks for assets."""
    return Path(os.environ.get("MS_ASSET_DIR") or Path.home() / ".maniskill") / "data"


def missing_files(root: Path, task: str) -> list[str]:
    """List the files of a task that are not below `root`."""
    return [str(path) for path in _files(root, TWINS[task]) if not (root / path).is_file()]


def unlike_published(root: Path, task: str) -> list[str]:
    """List files of a task that differ from those of its publisher."""
    path = DATASET / "stages" / TWINS[task].stage
    known = PUBLISHED[f"stages/{TWINS[task].stage}"]
    return [str(path)] if (root / path).is_file() and _git_digest(root / path) != known else []


def _files(root: Path, twin: Twin) -> Iterator[Path]:
    yield from (ROBOT / name for name in ROBOT_FILES)
    yield from (ROBOT / "meshes_wx250s" / f"WXSA-250-M-{name}.stl" for name in ROBOT_MESHES)
    yield DATASET / "stages" / twin.stage
    yield DATASET / "real_inpainting" / twin.background
    yield DATASET / "custom" / twin.table
    for model in twin.models:
        folder = DATASET / "custom" / "models" / model
        yield folder / "collision.obj"
        meshes = [folder / f"textured.{ending}" for ending in ("obj", "dae", "glb")]
        mesh = next((one for one in meshes if (root / one).is_file()), meshes[1])
        yield mesh
        if mesh.suffix == ".dae" and (root / mesh).is_file():
            said = (root / mesh).read_text(encoding="utf-8", errors="replace")
            yield from (folder / name for name in sorted(set(PICTURE_OF_MESH.findall(said))))


def _git_digest(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
