"""Draws one small picture: where a renderer cannot, it raises or takes its process along, and that is the answer."""

import os
import shutil
import subprocess
from pathlib import Path

from pipelines.evaluation.clients.channel import Channel

ICD_FOLDERS = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")


def run() -> None:
    """Say which drivers there are, then draw."""
    channel = Channel()
    channel.say("alive", drivers=_drivers(), mesa=_mesa())
    try:
        _draw()
    except Exception as error:
        channel.say("lost", why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    else:
        channel.say("ended")


def _draw() -> None:
    import sapien

    scene = sapien.Scene([sapien.physx.PhysxCpuSystem(), sapien.render.RenderSystem("cpu")])
    camera = scene.add_camera("probe", 16, 16, 1.0, 0.01, 10.0)
    scene.update_render()
    camera.take_picture()
    camera.get_picture("Color")


def _drivers() -> list[str]:
    named = os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES")
    if named:
        return [name for name in named.split(os.pathsep) if Path(name).is_file()]
    return sorted(str(path) for folder in ICD_FOLDERS for path in Path(folder).glob("*.json"))


def _mesa() -> str:
    """Version of the system's Mesa, empty where it is not Debian's kind or not there."""
    if not shutil.which("dpkg-query"):
        return ""
    command = ["dpkg-query", "-W", "-f", "${Version}", "mesa-vulkan-drivers"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
