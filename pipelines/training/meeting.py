"""Ranks meet at a store before they form a group: who does not come, or is lost later, has a name and a machine there.

torch alone waits for the timeout of a collective call, three quarters of an hour, deaf to signals, and says who it is
that is missing to nobody.
"""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from dataengine.errors import DataEngineError
from dataengine.reading import one_line
from pipelines.training.lost_rank import LostRankError, is_lost

MEET_S = 600.0
"""Longest wait for the others: machines of a cluster start minutes apart."""
LOOK_EVERY_S = 0.1
TELL_S = 2.0
"""Seconds in which those that lost a rank tell each other that they are there."""
ANSWER_S = 10.0
"""Longest wait for an answer of the store."""
MOST_RANKS = 1_000_000
_ASSIGNED_BY = "torchrun sets it, and so must whoever starts several processes without it"
SHOWN = 4
"""Ranks that a line names."""


class Meeting:
    """What the ranks of one run know of each other."""

    def __init__(self, store: Store, rank: int, world_size: int) -> None:
        self.store, self.rank, self.world_size = store, rank, world_size
        self.hosts: dict[int, str] = {}
        """Machine of each rank that has come."""

    def come(self, until: float) -> None:
        """Say that this rank is here, and wait for the others; raise DataEngineError that names who stays away."""
        self.store.set(f"host/{self.rank}", socket.gethostname())
        while absent := [rank for rank in range(self.world_size) if rank not in self.hosts]:
            for rank in absent:
                if self.store.check([f"host/{rank}"]):
                    self.hosts[rank] = self.store.get(f"host/{rank}").decode()
            if len(self.hosts) < self.world_size:
                if time.monotonic() > until:
                    raise DataEngineError(f"{_listed(absent)} of {self.world_size} did not come")
                time.sleep(LOOK_EVERY_S)

    @contextmanager
    def naming_the_lost(self) -> Iterator[None]:
        """Tell the others why this rank ends; say of one that is lost which it was, and what it said."""
        try:
            yield
        except LostRankError as error:
            raise LostRankError(f"{error}; {self._lost()}") from error
        except Exception as error:
            if isinstance(error, RuntimeError) and is_lost(error):
                raise LostRankError(
                    f"rank {self.rank} lost another rank ({one_line(str(error), 120)}); the same command goes on from "
                    f"the last checkpoint; {self._lost()}"
                ) from error
            with suppress(RuntimeError):  # the store may be gone, too
                self.store.compare_set("cause", "", f"{self._named(self.rank)} ended: {one_line(str(error), 400)}")
            raise

    def _lost(self) -> str:
        """Say which rank is gone."""
        try:
            self.store.set(f"there/{self.rank}", "")
            until = time.monotonic() + TELL_S
            silent = list(range(self.world_size))
            while silent and time.monotonic() < until:
                if self.store.check(["cause"]):
                    return self.store.get("cause").decode()
                silent = [rank for rank in silent if not self.store.check([f"there/{rank}"])]
                time.sleep(LOOK_EVERY_S)
            if self.rank == 0:
                time.sleep(LOOK_EVERY_S * 2)  # it may keep the store, which others still ask
        except RuntimeError:
            silent = [0]  # it kept the store
        if not silent:
            return "all ranks are there, so it may be the network"
        named = ", ".join(self._named(rank) for rank in silent[:SHOWN])
        return f"no word from {named}: killed, perhaps for memory (see dmesg there)"

    def _named(self, rank: int) -> str:
        return f"rank {rank} ({self.hosts.get(rank, 'unknown machine')})"


def assigned() -> tuple[int, int]:
    """Give this process's rank and the number of ranks, as torchrun assigns them; without it, 0 of 1.

    Raise DataEngineError for what cannot be, which would be waited for.
    """
    world_size = _number("WORLD_SIZE", 1, MOST_RANKS) if "WORLD_SIZE" in os.environ else 1
    if world_size == 1:
        return 0, 1
    if not os.environ.get("MASTER_ADDR"):
        raise DataEngineError(f"MASTER_ADDR is not set, expected the machine of rank 0; {_ASSIGNED_BY}")
    _number("MASTER_PORT", 1, 65535)
    return _number("RANK", 0, world_size - 1), world_size


def _number(name: str, least: int, most: int) -> int:
    text = os.environ.get(name, "not set")
    if not text.isdecimal() or not least <= int(text) <= most:
        raise DataEngineError(f"{name} is {text}, expected a number from {least} to {most}; {_ASSIGNED_BY}")
    return int(text)


def meet(rank: int, world_size: int) -> Meeting:
    """Come to the store at MASTER_ADDR:MASTER_PORT, and wait for all; raise DataEngineError if some stay away."""
    host, port, until = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), time.monotonic() + MEET_S
    keeps = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    while not keeps and not _answers(host, port):
        if time.monotonic() > until:
            raise DataEngineError("rank 0, which keeps the list, did not come")
        time.sleep(LOOK_EVERY_S)
    answer = timedelta(seconds=ANSWER_S)
    server = TCPStore(host, port, is_master=keeps, timeout=answer, wait_for_workers=False, multi_tenant=True)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    meeting = Meeting(PrefixStore(f"villa/{attempt}", server), rank, world_size)
    meeting.come(until)
    return meeting


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError:
        return False
    return True


def _listed(ranks: Sequence[int]) -> str:
    more = f" and {len(ranks) - SHOWN} more" if len(ranks) > SHOWN else ""
    return f"rank {', '.join(map(str, ranks[:SHOWN]))}{more}"
