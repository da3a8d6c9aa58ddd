"""How MuJoCo draws without a display: chosen before it is imported, and what is wrong where it cannot.

Standard library and MuJoCo only: the simulators of this environment ask, and those of others.
"""

import os

GL_PACKAGES = "apt-get install -y --no-install-recommends libegl1 libgles2 libosmesa6"
DEFAULT = "egl"
OFF_SCREEN = ("egl", "osmesa")


def choose_backend() -> None:
    """Take EGL where `MUJOCO_GL` is not set, or empty; let PyOpenGL take the same."""
    backend = os.environ.get("MUJOCO_GL", "").strip().lower() or DEFAULT
    os.environ["MUJOCO_GL"] = backend
    if backend in OFF_SCREEN:
        os.environ["PYOPENGL_PLATFORM"] = os.environ.get("PYOPENGL_PLATFORM") or backend


def drawing_fault() -> str:
    """Say in one line why nothing can be drawn here, and what to do; empty where it can.

    Raise ModuleNotFoundError without MuJoCo.
    """
    backend = os.environ["MUJOCO_GL"]
    if backend == "glfw" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return f"MUJOCO_GL=glfw draws on a display, and DISPLAY names none; unset MUJOCO_GL, and {DEFAULT} draws"
    try:
        _draw()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # PyOpenGL, EGL and OSMesa each raise errors of their own, AttributeError among them
        other = "" if backend == DEFAULT else f"unset MUJOCO_GL, and {DEFAULT} draws, or "
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        return f"MuJoCo cannot draw with MUJOCO_GL={backend} ({reason}); {other}install a GL library: {GL_PACKAGES}"
    return ""


def _draw() -> None:
    import mujoco

    for name in ("_gl_context", "_mjr_context"):  # one that did not open prints that it lacks these when it is dropped
        if not hasattr(mujoco.Renderer, name):
            setattr(mujoco.Renderer, name, None)
    mujoco.Renderer(mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8).close()
