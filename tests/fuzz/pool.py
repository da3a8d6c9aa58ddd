"""Reads damaged inputs in processes of their own: a crash, a hang or a full memory is that input's, by its seed."""

import contextlib
import faulthandler
import fnmatch
import importlib
import multiprocessing as mp
import os
import resource
import shutil
import signal
import tempfile
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.fuzz.damage import damage
from tests.fuzz.group import UNEXPECTED, Group, is_named
from tests.fuzz.groups import GROUPS

MOST_BYTES: Final = 2_000_000_000
"""More than the reader holds when it starts is over memory."""
LONG_S: Final = 10.0
"""Of a processor's time: an input that takes longer hangs."""
PATIENCE_S: Final = 90.0
"""By the clock, for what hangs in C or waits for something."""
KINDS: Final = (
    "read",
    "named error",
    "unexpected, wrapped",
    "other exception",
    "hang",
    "over memory",
    "crash",
    "silent change",
)
GOOD: Final = KINDS[:2]
READY: Final = "ready"
"""What a worker says when all is imported and its next input begins."""


@dataclass(frozen=True)
class Input:
    """One damaged tree; the two words that make it again."""

    group: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of an input."""

    input: Input
    kind: str
    """One of KINDS."""
    about: str = ""
    """The error, and where."""


def build(root: Path, groups: Sequence[str]) -> None:
    """Write the sound trees."""
    for name in groups:
        if not (root / name).exists():
            GROUPS[name].build(root / name)


def hunt(
    root: Path, inputs: Sequence[Input], workers: int = 1, groups: str = "tests.fuzz.groups", long_s: float = LONG_S
) -> Iterator[Outcome]:
    """Read every input; outcomes come as they are known. `groups` names the module whose GROUPS say how."""
    waiting = list(reversed(inputs))
    crew = [_Worker(root, groups, long_s) for _ in range(min(workers, len(waiting)))]
    try:
        while True:
            for worker in crew:
                if worker.at is None and waiting:
                    worker.give(waiting.pop())
            busy = {worker.pipe: worker for worker in crew if worker.at is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                outcome = worker.outcome()
                worker.at = None
                if outcome.kind in ("hang", "over memory", "crash"):
                    worker.stop()
                    crew[crew.index(worker)] = _Worker(root, groups, long_s)
                yield outcome
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """A process that reads one input after another."""

    def __init__(self, root: Path, groups: str, long_s: float) -> None:
        context = mp.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, root, groups, long_s), daemon=True)
        self.process.start()
        theirs.close()
        self.at: Input | None = None

    def give(self, chosen: Input) -> None:
        self.at = chosen
        self.pipe.send(chosen)

    def outcome(self) -> Outcome:
        assert self.at is not None
        ready = False
        try:
            ready = self.pipe.recv() == READY
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            code = self.process.exitcode
            if not ready:
                raise RuntimeError(f"{self.at.group}: the sound tree cannot be read, exit code {code}") from None
            return Outcome(self.at, "hang" if code == 1 else "crash", f"exit code {code}")

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Late(BaseException):
    """Time is over."""


def serve(pipe: Connection, root: Path, groups: str, long_s: float) -> None:
    """Read inputs until the parent goes away."""
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        kinds: Mapping[str, Group] = importlib.import_module(groups).GROUPS
        known: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
            os.environ["XDG_CACHE_HOME"] = f"{scratch}/cache"
            os.environ.setdefault("OMP_NUM_THREADS", "1")
            signal.signal(signal.SIGPROF, _too_late)
            while True:
                chosen: Input = pipe.recv()
                pipe.send(try_one(kinds[chosen.group], root, chosen, Path(scratch), known, pipe, long_s))


def _too_late(*_: object) -> None:
    raise _Late


def try_one(
    group: Group, root: Path, chosen: Input, folder: Path, known: dict[str, Any], pipe: Connection, long_s: float
) -> Outcome:
    """Damage a copy of a tree, read it, and say what came of it. `known` keeps what the sound trees give."""
    if chosen.group not in known:  # also imports all that is needed, which then counts for no input
        known[chosen.group] = group.read(_copy(root / chosen.group, folder / "sound"))
        shutil.rmtree(folder / "sound")
    copy = _copy(root / chosen.group, folder / "input")
    what, mended = make(copy, chosen, group.prey)
    UNEXPECTED.clear()
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    resource.setrlimit(resource.RLIMIT_DATA, (_memory("VmData") + MOST_BYTES + 500_000_000, -1))
    pipe.send(READY)
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
    signal.setitimer(signal.ITIMER_PROF, long_s)
    try:
        kind, about = "read", ""
        got = group.read(copy)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if UNEXPECTED:
            kind, about = "unexpected, wrapped", f"{what}: {UNEXPECTED[0]}"
        sound = known[chosen.group]
        if (group.equal and got != sound) or (group.records and not mended and set(got) - set(sound)):
            kind, about = "silent change", f"of {what}"
    except _Late:
        kind, about = "hang", what
    except BaseException as error:
        kind, about = ("named error" if is_named(error) else "other exception"), f"{what}: {_say(error)}"
        if isinstance(error, MemoryError):
            kind = "over memory"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
    peak = _memory("VmHWM") - before
    if peak > MOST_BYTES:
        kind, about = "over memory", f"{what}: {peak / 1e9:.1f} GB; {about}"
    shutil.rmtree(folder / "input", ignore_errors=True)
    return Outcome(chosen, kind, about)


def make(copy: Path, chosen: Input, prey: Sequence[str] = ("*",)) -> tuple[str, bool]:
    """Damage one file of a tree, sometimes two; say which, and whether their sums were mended."""
    rng = np.random.default_rng([chosen.seed, zlib.crc32(chosen.group.encode())])
    files = [
        path for path in sorted(copy.rglob("*")) if path.is_file() and any(fnmatch.fnmatch(path.name, p) for p in prey)
    ]
    # Evenly among kinds of files, or the many videos would hide the one table.
    kinds = sorted({path.suffix for path in files})
    names, mended_any = [], False
    for _ in range(1 + (rng.random() < 0.2)):
        of_kind = [path for path in files if path.suffix == kinds[rng.integers(len(kinds))]] or files
        path = of_kind[rng.integers(len(of_kind))]
        data, mended = damage(path.name, path.read_bytes(), rng)
        path.write_bytes(data)
        names.append(str(path.relative_to(copy)))
        mended_any |= mended
    return " and ".join(names), mended_any


def _copy(tree: Path, path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    return Path(shutil.copytree(tree, path, copy_function=shutil.copyfile))


def _memory(line: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) * 1024


def _say(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = next(
        (f for f in reversed(frames) if "/tests/" not in f.filename and "site-packages" not in f.filename), None
    )
    where = f" ({Path(ours.filename).name}:{ours.lineno})" if ours else ""
    return f"{type(error).__name__}: {str(error)[:200]}{where}"
