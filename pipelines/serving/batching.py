"""Answers the requests of several clients together: one batch at work, the next one gathering meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter

from pipelines.serving.engine import Engine, group_of
from pipelines.serving.observation import Reply, Request


@dataclass(eq=False)
class _Waiting:
    """A request, and whoever waits for its answer."""

    request: Request
    answer: "asyncio.Future[Reply]"
    since: float = field(default_factory=perf_counter)
    queue_ms: float = 0.0
    infer_ms: float = 0.0


class Batcher:
    """Gathers requests until all clients that may ask have asked, for a bounded time, and answers them at once."""

    def __init__(
        self,
        engine: Engine,
        num_clients: Callable[[], int],
        thread: ThreadPoolExecutor,
        *,
        max_batch: int,
        wait_ms: float,
    ) -> None:
        """`thread` is the one that answers; it ends with the batcher."""
        self._thread = thread
        self._engine, self._num_clients = engine, num_clients
        self._max_batch, self._wait_s = max_batch, wait_ms / 1000
        self._waiting: list[_Waiting] = []
        self._at_work: list[_Waiting] = []
        self._arrived = asyncio.Event()

    async def ask(self, request: Request, ms: dict[str, float]) -> Reply:
        """Wait for the answer to a request; raise what the engine raised for it. Stages go into `ms`."""
        one = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._arrived.set()
        try:
            return await one.answer
        finally:
            ms["queue"], ms["infer"] = one.queue_ms, one.infer_ms

    async def run(self) -> None:
        """Answer until cancelled."""
        try:
            while True:
                batch = self._at_work = await self._gather()
                loop = asyncio.get_running_loop()
                start = perf_counter()
                for one in batch:
                    one.queue_ms = (start - one.since) * 1000
                replies = await loop.run_in_executor(self._thread, self._answers, [one.request for one in batch])
                took = (perf_counter() - start) * 1000
                for one, reply in zip(batch, replies, strict=True):
                    one.infer_ms = took
                    if one.answer.done():  # its client has gone
                        continue
                    if isinstance(reply, Exception):
                        one.answer.set_exception(reply)
                    else:
                        one.answer.set_result(reply)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            for one in (*self._at_work, *self._waiting):
                one.answer.cancel()

    async def _gather(self) -> list[_Waiting]:
        """Take the oldest request, and all that may go with it."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        deadline = self._waiting[0].since + self._wait_s
        while len(self._waiting) < min(self._num_clients(), self._max_batch):
            left = deadline - perf_counter()
            if left <= 0:
                break
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                break
        group = group_of(self._waiting[0].request)
        taken = [one for one in self._waiting if group_of(one.request) == group][: self._max_batch]
        self._waiting = [one for one in self._waiting if one not in taken]
        return taken

    def _answers(self, requests: Sequence[Request]) -> Sequence[Reply | Exception]:
        """Answer together; where that fails, one by one, so that no client fails for another's request."""
        try:
            return self._engine.answer(requests)
        except Exception as error:
            return [error] if len(requests) == 1 else [self._answers([one])[0] for one in requests]
