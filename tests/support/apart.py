"""Runs tests that draw in a process of their own: drawing and tensorflow, which other tests import, crash together."""

import functools
import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


@functools.cache
def child() -> ProcessPoolExecutor:
    """The one process in which this session draws."""
    return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def apart(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test of a module in the drawing process; its arguments must be picklable."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        child().submit(_call, test.__module__, test.__name__, arguments).result()

    return run


def _call(module: str, name: str, arguments: dict[str, Any]) -> None:
    getattr(importlib.import_module(module), name).__wrapped__(**arguments)
