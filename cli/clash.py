"""Our packages have plain names, as those of many a robotics repository: whoever hides ours is named."""

from importlib import metadata, util
from pathlib import Path

PACKAGES = ("cli", "pipelines", "dataengine", "models")
HERE = Path(__file__).resolve().parents[1]
DISTRIBUTION = "villa-engine"


def hidden() -> str:
    """Say which of our packages is found elsewhere than beside this one, and the way out; empty where none is."""
    for name in PACKAGES:
        spec = util.find_spec(name)
        location = next(iter(spec.submodule_search_locations or [spec.origin or ""]), "") if spec else ""
        if Path(location).resolve() != HERE / name:
            what = f"found it at {location}" if location else "found none"
            return (
                f"needs its package '{name}' in {HERE}, {what}; take the folder above that off PYTHONPATH, and call "
                f"`villa`, not `python -m cli`"
            )
    return ""


def shared(error: ImportError) -> str:
    """Say which other distributions brought a package that could not be imported whole; empty where it is not ours."""
    name = (error.name or "").partition(".")[0]
    if name not in PACKAGES:
        return ""
    others = sorted({*metadata.packages_distributions().get(name, ())} - {DISTRIBUTION})
    if not others:
        return ""
    return f"{', '.join(others)} brought a package '{name}' too; install {DISTRIBUTION} into an environment of its own"
