"""Simulators that cannot be set up: what is missing, and what makes it anew, in one line."""

from pathlib import Path


class BrokenError(RuntimeError):
    """No episode can be begun: a package, a file or a way to draw is missing."""


def why_broken(error: Exception, prefix: Path, client: str) -> str:
    """Say what is missing in the environment at `prefix`, and how `client` is installed."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; {install_advice(prefix, client)}"


def install_advice(prefix: Path, client: str) -> str:
    """Say how the environment of a client is made anew: what is there, `make` takes for complete."""
    if prefix.name != f".venv-{client}":
        return f"mend the packages of {prefix}, or `make sim-{client}` makes an environment of its own"
    return f"remove {prefix}, and `make sim-{client}` makes it anew"
