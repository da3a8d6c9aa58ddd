"""What connections of both protocols have in common: sessions, episodes, answers, and what is kept of them."""

import asyncio
import itertools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from pipelines.serving.batching import Batcher
from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import Engine
from pipelines.serving.observation import Reply, Request
from pipelines.serving.timing import Timings
from pipelines.serving.wire import EncodedImage, WireError

T = TypeVar("T")

DECODERS: Final = 4
"""Threads that read frames and check observations."""
QUICK_BYTES: Final = 2**20
"""A frame up to this size is read in the event loop: to a thread and back takes ten times as long as reading it."""
DRAIN_S: Final = 10.0
"""How long answers that are being made may take when the server stops."""


class Recorder(Protocol):
    """Keeps what robots saw and did."""

    def add(self, session: "Session", request: Request, actions: NDArray[np.float32]) -> None:
        """Keep an observation and the actions (k, a) that are executed until the next one."""
        ...

    def end(self, session: "Session") -> None:
        """Write the session's episode, where it has one."""
        ...


@dataclass
class Session:
    """One connection, and the episode it is in."""

    number: int
    embodiment: str = ""
    """Robot that the client said it is when it came."""
    steps: int = 0
    """Control steps of this episode, as far as the server knows."""
    session_id: Any = None
    previous_ms: dict[str, float] = field(default_factory=dict)
    """Stages of the answer before."""


class Service:
    """A warm engine, and all who talk to it."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        self.timings = Timings()
        self.ready = asyncio.Event()
        self.num_connected = 0
        """Connections that there are now."""
        self.num_sessions = 0
        self._engine: Engine | None = None
        self._batcher: Batcher | None = None
        self._recorder: Recorder | None = None
        self._active: set[int] = set()
        self._warned: set[str] = set()
        """Robots of which the log says already that their observations are odd."""
        self._num_asking = 0
        self._numbers = itertools.count(1)
        self._threads = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self.infer_thread = ThreadPoolExecutor(1, thread_name_prefix="infer")
        """Reads the policy, warms it and answers: helpers that torch starts in one thread slow those of another."""

    async def run(self, engine: Engine, recorder: Recorder | None) -> None:
        """Answer from now on, until cancelled."""
        self._engine, self._recorder = engine, recorder
        self._batcher = Batcher(
            engine,
            lambda: max(1, len(self._active)),
            self.infer_thread,
            max_batch=self.config.max_batch,
            wait_ms=self.config.batch_wait_ms,
        )
        self.ready.set()
        await self._batcher.run()

    def open(self, embodiment: str) -> Session:
        """Begin a session, of a robot that the client names or of one that its observations will name."""
        session = Session(next(self._numbers), embodiment)
        self.num_sessions += 1
        return session

    def metadata(self, embodiment: str) -> dict[str, Any]:
        """Say what is served to a client; raise WireError for a robot that is not."""
        assert self._engine is not None, "clients are spoken to when the engine is ready"
        return self._engine.metadata(embodiment)

    async def close(self, session: Session) -> None:
        """End a session and its episode."""
        self._active.discard(session.number)
        await self.end_episode(session)

    async def end_episode(self, session: Session) -> None:
        """Begin the next episode; what was recorded of the one before is written."""
        session.steps = 0
        if self._recorder is not None:
            await self.in_thread(self._recorder.end, session)

    async def drain(self) -> None:
        """Wait a bounded time for the answers that are being made."""
        deadline = perf_counter() + DRAIN_S
        while self._num_asking and perf_counter() < deadline:
            await asyncio.sleep(0.01)

    def metrics(self) -> dict[str, Any]:
        """Say what was done so far, and how fast."""
        return {
            "ready": self.ready.is_set(),
            "connected": self.num_connected,
            "sessions": self.num_sessions,
            "asking": self._num_asking,
            "answers": self.timings.num_answers,
            "errors": self.timings.num_errors,
            "ms": self.timings.quantiles(),
        }

    async def in_thread(self, act: Callable[..., T], *args: Any) -> T:
        """Run what takes time outside the event loop, which has pings to answer."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, act, *args)

    async def read(self, act: Callable[..., T], frame: str | bytes, *args: Any) -> T:
        """Read a frame, in the event loop where that is quick."""
        return act(frame, *args) if len(frame) <= QUICK_BYTES else await self.in_thread(act, frame, *args)

    async def request(self, seen: dict[str, Any], session: Session, *, begins: bool = False) -> Request:
        """Check an observation, the first of an episode or a later one; encoded pictures are decoded in a thread."""
        assert self._engine is not None, "answers begin when the engine is ready"
        facts = seen, 0 if begins else session.steps, session.embodiment
        if any(isinstance(value, EncodedImage | bytes) for value in seen.values()):
            return await self.in_thread(self._engine.request, *facts)
        return self._engine.request(*facts)

    async def answer(self, session: Session, request: Request, ms: dict[str, float], action_steps: int) -> Reply:
        """Answer a request; the robot executes so many actions of the chunk before it asks again."""
        assert self._batcher is not None, "answers begin when the engine is ready"
        if request.warning and request.embodiment not in self._warned:
            self._warned.add(request.embodiment)
            print(f"villa serve: '{request.embodiment}': {request.warning} (said once)", file=sys.stderr, flush=True)  # noqa: T201
        self._active.add(session.number)
        self._num_asking += 1
        try:
            reply = await self._batcher.ask(request, ms)
        finally:
            self._num_asking -= 1
        executed = reply.actions[: action_steps or len(reply.actions)]
        if self._recorder is not None:
            await self.in_thread(self._recorder.add, session, request, executed)
        session.steps += len(executed)
        return reply

    def said(self, error: Exception) -> str:
        """Say in one line what went wrong with a request; count it."""
        self.timings.add_error()
        reason = " ".join(str(error).split())
        if isinstance(error, WireError | DataEngineError):
            return reason
        line = f"failed with {type(error).__name__}: {reason:.300}"
        print(f"villa serve: a request {line}", file=sys.stderr, flush=True)  # noqa: T201
        return f"the server {line}; its log has the same line"
