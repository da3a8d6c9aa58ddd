"""Draws MuJoCo scenes fast: MuJoCo's default quality costs ten times what the picture needs.

Antialiasing, shadows and reflections are off; on a CPU that is 8 instead of 120 ms for a frame, nearly independent of
its size. A drawing context costs half a second, so simulations of the same model share one in each process.
"""

import atexit
import sys
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

_RENDERERS: dict[tuple[str, int, int], Any] = {}


def free_camera(look_at: Sequence[float], distance: float, azimuth: float, elevation: float) -> Any:
    """Place a camera by the point it looks at (metres), its distance (metres) and two angles (degrees)."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = look_at
    camera.distance, camera.azimuth, camera.elevation = distance, azimuth, elevation
    return camera


def fixed_camera(model: Any, name: str) -> Any:
    """Take a camera that the model itself defines."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    camera.fixedcamid = model.camera(name).id
    return camera


def draw(
    kind: str, model: Any, data: Any, camera: Any, height: int, width: int, hidden: Sequence[int] = ()
) -> NDArray[np.uint8]:
    """Draw what `camera` sees, (height, width, 3), without the geometry groups in `hidden`.

    Models of one `kind` have the same meshes and textures: they share the drawing context.
    """
    key = (kind, height, width)
    if key not in _RENDERERS:
        _RENDERERS[key] = _open(model, height, width)
    renderer, option = _RENDERERS[key], mujoco.MjvOption()
    option.geomgroup[list(hidden)] = 0
    # Not `renderer.update_scene`: that one is tied to the model it was opened with, and ours may have moved its sites.
    mujoco.mjv_updateScene(model, data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL, renderer.scene)
    return renderer.render().copy()


def _open(model: Any, height: int, width: int) -> Any:
    """Open a drawing context in fast quality."""
    if "tensorflow" in sys.modules:
        raise RuntimeError("this process has imported tensorflow, whose LLVM crashes Mesa's; draw in another process")
    model.vis.quality.offsamples = 0
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    renderer = mujoco.Renderer(model, height, width)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
    # Registered after MuJoCo's own farewell to the GL library, hence run before it: otherwise it prints a traceback.
    atexit.register(renderer.close)
    return renderer
