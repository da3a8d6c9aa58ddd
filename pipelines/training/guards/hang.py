"""A run in which nothing moves any more ends, with the stack of every rank, instead of waiting for ever.

One rank that stands still (a disk that does not answer, a deadlock, a lost machine) makes all others wait inside a
collective call. A thread of each rank sees that its trainer has not moved for too long, and writes down where it
stands; who stands furthest behind is the one that the others wait for.
"""

import contextlib
import faulthandler
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dataengine.reading import one_line
from pipelines.training.distributed import Distributed
from pipelines.training.lost_rank import LostRankError, is_lost

FOLDER = "hangs"
POLL_S = 5.0
GRACE_S = 5.0
"""Longest that a rank waits for the others to write down where they stand, beside twice the time between two looks."""
STDERR = 2
"""The process's own error stream: what a notebook or a test puts in for `sys.stderr` has no descriptor."""


@dataclass(frozen=True)
class Standing:
    """Where a rank stands."""

    rank: int
    host: str
    moves: int
    """How often it has moved; all ranks move through the same phases."""
    step: int
    phase: str

    @property
    def name(self) -> str:
        """Name the rank and its machine."""
        return f"rank {self.rank} ({self.host})"


class Watchdog:
    """Watches one rank while the block runs; `at` says that it moves."""

    def __init__(self, out: Path, title: str, distributed: Distributed, timeout_s: float) -> None:
        self._folder, self._title, self._distributed = out / FOLDER, title, distributed
        self._timeout_s, self._poll_s = timeout_s, min(timeout_s / 10, POLL_S)
        self._moves, self._step, self._phase, self._since = 0, 0, "", time.monotonic()
        self._stop = threading.Event()

    def at(self, step: int, phase: str) -> None:
        """Say what the trainer does next, in which step, counted from 1."""
        self._moves, self._step, self._phase, self._since = self._moves + 1, step, phase, time.monotonic()

    @contextlib.contextmanager
    def watching(self, step: int) -> Iterator[None]:
        """Watch a trainer that goes on after a step."""
        self._folder = self._folder / f"from-step-{step:08d}"
        if self._distributed.is_main_process:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.at(step, "start")
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        except RuntimeError as error:
            if not is_lost(error):
                raise
            raise LostRankError(
                f"{self._title}: rank {self._distributed.rank} lost another rank in {self._phase} of step {self._step} "
                f"({one_line(str(error), 120)}); the same command goes on from the last checkpoint"
            ) from error
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        """Look now and then; should Python itself stand still, a timer of C ends the process."""
        while not self._stop.wait(self._poll_s):
            until_s = self._timeout_s + 4 * self._poll_s + 2 * GRACE_S
            faulthandler.dump_traceback_later(until_s, exit=True, file=STDERR)
            if time.monotonic() - self._since > self._timeout_s:
                self._end()
        faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        """Write down where this rank stands; the first that has seen the others' notes tells; end the process."""
        d = self._distributed
        mine = Standing(d.rank, socket.gethostname(), self._moves, self._step, self._phase)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"rank-{d.rank:05d}.txt").open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(mine)) + "\n")
            file.flush()
            faulthandler.dump_traceback(file)
        until = time.monotonic() + 2 * self._poll_s + GRACE_S
        while len(standings := self._standings()) < d.world_size and time.monotonic() < until:
            time.sleep(0.1)
        with contextlib.suppress(FileExistsError), (self._folder / "told").open("x", encoding="utf-8"):
            line = f"{self._title}: nothing has moved for {self._timeout_s:g} s: {culprits(standings, d.world_size)}"
            then = "the same command goes on from the last checkpoint"
            print(f"{line}; stacks of all ranks: {self._folder}; {then}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(1)

    def _standings(self) -> list[Standing]:
        """Read where the ranks stand that have said so."""
        standings = []
        for path in sorted(self._folder.glob("rank-*.txt")):
            with contextlib.suppress(ValueError, TypeError):  # being written
                standings.append(Standing(**json.loads(path.read_text(encoding="utf-8").partition("\n")[0])))
        return standings


def culprits(standings: Sequence[Standing], world_size: int) -> str:
    """Say which ranks the others wait for."""
    silent = sorted(set(range(world_size)) - {one.rank for one in standings})
    if silent:
        return f"rank {', '.join(map(str, silent))} of {world_size} does not answer; {_at(standings)}"
    first = min(one.moves for one in standings)
    behind = [one for one in standings if one.moves == first]
    if len(behind) < len(standings):
        others = [one for one in standings if one.moves > first]
        return f"{_at(behind)}, where the others wait for it in {_what(others[0])}"
    return f"{_at(standings)}{', so it may be the network' if world_size > 1 else ''}"


def _at(standings: Sequence[Standing]) -> str:
    return ", ".join(f"{one.name} stands in {_what(one)}" for one in standings[:4]) + (
        f" and {len(standings) - 4} more ranks" if len(standings) > 4 else ""
    )


def _what(one: Standing) -> str:
    return f"{one.phase} of step {one.step}"
