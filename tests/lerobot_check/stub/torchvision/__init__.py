"""As much of torchvision as lerobot's dataset class calls: the real one would pull in gigabytes of CUDA."""

from torchvision import io, transforms

__all__ = ["io", "set_video_backend", "transforms"]


def set_video_backend(backend: str) -> None:
    """Accept the only backend that there is here."""
    if backend != "pyav":
        raise ValueError(f"found backend '{backend}', expected 'pyav'")
