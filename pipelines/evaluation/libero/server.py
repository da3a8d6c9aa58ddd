"""The policy server of an evaluation: `villa serve` as a child, unless another one is named."""

import os
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from dataengine.errors import DataEngineError
from dataengine.runners.processes import die_with
from pipelines.evaluation.client_process import last_line
from pipelines.evaluation.libero.config import LiberoConfig
from pipelines.evaluation.libero.environment import executable

START_S = 600
STOP_S = 15


@contextmanager
def served(config: LiberoConfig) -> Iterator[str]:
    """Give the address of a server that is ready."""
    if config.server:
        yield config.server
        return
    child = _start(config)
    lines: deque[str] = deque(maxlen=40)
    ready, address = threading.Event(), [""]

    def listen() -> None:
        assert child.stderr is not None
        for line in child.stderr:
            lines.append(line)
            if match := re.search(r"ready: openpi on (ws://\S+?)/,", line):
                address[0] = match[1]
                ready.set()
        ready.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        begun = time.monotonic()
        while not ready.wait(0.5):
            if time.monotonic() - begun > START_S:
                raise DataEngineError(f"the policy server was not ready after {START_S} s")
        if not address[0]:
            raise DataEngineError(last_line("".join(lines)) or "the policy server ended without a word")
        yield address[0]
    finally:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()


def _start(config: LiberoConfig) -> subprocess.Popen[str]:
    settings = {"--embodiment": config.embodiment, "--acts-as": config.acts_as, "--device": config.device or ""}
    given = [word for option, value in settings.items() if value for word in (option, value)]
    return subprocess.Popen(
        [*executable(), "serve", config.policy, "--port", "0", *given],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (no threads hold locks here that prctl would need)
    )
