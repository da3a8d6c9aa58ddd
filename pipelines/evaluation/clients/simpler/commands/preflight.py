"""Says which packages and assets there are, without loading any: what is damaged cannot crash this."""

from importlib.metadata import PackageNotFoundError, version

from pipelines.evaluation.clients.channel import Channel
from pipelines.evaluation.clients.simpler.twins import assets_root, missing_files, unlike_published

PACKAGES = ("mani_skill", "sapien", "torch", "numpy", "gymnasium")


def run(tasks: list[str]) -> None:
    """Answer with versions, empty where a package is missing, and with files."""
    root = assets_root()
    Channel().say(
        "ended",
        versions={name: _version(name) for name in PACKAGES},
        root=str(root),
        missing=sorted({path for task in tasks for path in missing_files(root, task)}),
        unlike=sorted({path for task in tasks for path in unlike_published(root, task)}),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
