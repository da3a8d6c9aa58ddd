"""Ranks of a training, forked from a process that has imported all of it: that costs more than what tests train.

The same process forks the commands and workers of `warm`.
"""

import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from pathlib import Path
from unittest import mock

HANGS_AFTER_S = 300  # less than the test itself may take
ROOT = Path(__file__).parents[2]
IMPORTED = ["pytest", "tests.support.sharded", "torch.distributed.fsdp", "torch.testing"]
IMPORTED += [
    "PIL.Image",
    "av",
    "google.protobuf.text_format",
    "pandas",
    "pipelines.training.loggers.tensorboard_events",
    "simplejpeg",
]
# Nothing that draws, nor tensorflow: they bear no fork, and not each other.
IMPORTED += ["cli.app", "pipelines.serving.serve", "pipelines.serving.act", "pipelines.training.act.saved"]
IMPORTED += ["dataengine.runners.worker", "pipelines.evaluation.playing", "tests.support.npz_source"]


@dataclass(frozen=True)
class Ended:
    returncode: int
    """Minus the signal, of a process that was killed."""
    stdout: str
    stderr: str


def run(
    function: Callable[..., object], *args: object, ranks: int = 1, check: bool = True, alone: bool = False
) -> list[Ended]:
    """Call a function of a module in so many processes that meet as those of torchrun do.

    Once one of them fails the others are killed, unless they have to see to that themselves, `alone`.
    """
    context = multiprocessing.get_context("forkserver")
    serve()
    rendezvous = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()} if ranks > 1 else {}
    with tempfile.TemporaryDirectory() as logs:
        processes = []
        for rank in range(ranks):
            about = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}
            given = (f"{logs}/{rank}", {**os.environ, **rendezvous, **about}, function, *map(str, args))
            processes.append(context.Process(target=_call, args=given, daemon=True))
        for process in processes:
            process.start()
        left = {process.sentinel: process for process in processes}
        while left:
            for sentinel in connection.wait(left.keys()):
                ended = left.pop(sentinel)
                ended.join()
                if ended.exitcode and not alone:
                    for other in left.values():
                        other.kill()
        said = [[Path(f"{logs}/{rank}.{name}").read_text() for name in ("out", "err")] for rank in range(ranks)]
    results = [Ended(process.exitcode, *texts) for process, texts in zip(processes, said, strict=True)]
    assert not check or all(result.returncode == 0 for result in results), "".join(r.stderr for r in results)
    return results


def serve() -> None:
    """Start what forks, unless it is there."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(IMPORTED)
    # Ctrl-C may be blocked, as it is where workers start: all that it ever forks would be deaf to it.
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):
        forkserver._forkserver.ensure_running()  # not the function: a process that it forked has no other
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _call(log: str, environment: Mapping[str, str], function: Callable[..., object], *args: str) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        with Path(f"{log}.{name}").open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True)  # and say where
    function(*args)
