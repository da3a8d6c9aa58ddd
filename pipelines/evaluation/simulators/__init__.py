"""Simulated robots: one file per simulator, found by name.

MuJoCo reads its drawing backend from the environment when it is imported, so the choice is made here, before that.
"""

import os

os.environ.setdefault("MUJOCO_GL", "egl")
if os.environ["MUJOCO_GL"] in ("egl", "osmesa"):
    os.environ.setdefault("PYOPENGL_PLATFORM", os.environ["MUJOCO_GL"])
