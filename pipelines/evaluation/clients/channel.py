"""How a simulator's process talks to the one that started it: lines of JSON on what was its standard output.

What libraries print goes to standard error from the first line on.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

ALIVE_S = 1.0
"""How often a process says that it is alive: an episode that is silent for long hangs."""


class Channel:
    """Lines in, lines out."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._said_at = 0.0

    def say(self, event: str, **facts: Any) -> None:
        """Send one line."""
        self._out.write(json.dumps({"event": event, **facts}) + "\n")
        self._out.flush()
        self._said_at = time.monotonic()

    def alive(self) -> None:
        """Say from time to time that work goes on."""
        if time.monotonic() - self._said_at > ALIVE_S:
            self.say("alive")

    def jobs(self) -> Iterator[Mapping[str, Any]]:
        """Give what is asked for, until the other side closes."""
        for line in sys.stdin:
            yield json.loads(line)
