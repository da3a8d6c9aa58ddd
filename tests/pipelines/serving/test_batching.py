"""Requests of several clients are answered together, and no client pays for another's."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.evaluation.chunks import Executing
from pipelines.serving.batching import Batcher
from pipelines.serving.observation import Reply, Request

PICTURE = np.zeros((2, 2, 3), np.uint8)


def request(number, robot="arm", **changes):
    state = np.array([number], np.float32)
    return Request(image=PICTURE, wrist=None, state=state, embodiment=robot, instruction="go", **changes)


class Doubling:
    """Says twice the state; keeps which states it was asked about at once. The first batch waits until it may go."""

    def __init__(self, hold=False):
        self.batches, self.may_go = [], threading.Event()
        if not hold:
            self.may_go.set()

    def answer(self, requests):
        states = [float(one.state[0]) for one in requests]
        self.batches.append(states)
        assert self.may_go.wait(30)
        if 13.0 in states:
            raise ValueError("unlucky")
        return [Reply(np.array([[2 * state]], np.float32)) for state in states]


def ask(engine, requests, *, clients=None, max_batch=8, wait_ms=300.0):
    async def run():
        batcher = Batcher(
            engine, lambda: clients or len(requests), ThreadPoolExecutor(1), max_batch=max_batch, wait_ms=wait_ms
        )
        working = asyncio.create_task(batcher.run())
        asked = [asyncio.create_task(batcher.ask(one, {})) for one in requests]
        if not engine.may_go.is_set():
            while not engine.batches:
                await asyncio.sleep(0.01)
            engine.may_go.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        working.cancel()
        return [one if isinstance(one, Exception) else float(one.actions[0, 0]) for one in answers]

    return asyncio.run(run())


def test_those_who_ask_at_once_are_answered_at_once_each_with_its_own():
    engine = Doubling()
    assert ask(engine, [request(i) for i in range(5)]) == [0, 2, 4, 6, 8]
    assert engine.batches == [[0, 1, 2, 3, 4]]


def test_a_batch_has_bounds_and_the_next_one_gathers_meanwhile():
    engine = Doubling(hold=True)
    assert ask(engine, [request(i) for i in range(5)], max_batch=2) == [0, 2, 4, 6, 8]
    assert engine.batches == [[0, 1], [2, 3], [4]]


def test_nobody_waits_longer_than_the_bound_for_clients_that_do_not_ask():
    engine = Doubling()
    assert ask(engine, [request(1)], clients=9, wait_ms=20.0) == [2]
    assert ask(engine, [request(1)], clients=1, wait_ms=10_000_000.0) == [2]


def test_other_robots_and_other_ways_to_answer_go_apart():
    engine = Doubling()
    continuing = request(3, continuation=Executing(0, np.zeros((1, 1), np.float32)))
    assert ask(engine, [request(1), request(2, "hand"), continuing, request(4)]) == [2, 4, 6, 8]
    assert sorted(engine.batches) == [[1, 4], [2], [3]]


def test_a_request_that_fails_takes_no_other_with_it():
    engine = Doubling()
    first, bad, last = ask(engine, [request(1), request(13), request(2)])
    assert (first, last) == (2, 4)
    with pytest.raises(ValueError, match="unlucky"):
        raise bad


def test_a_client_that_gives_up_takes_no_other_with_it():
    async def run():
        engine = Doubling(hold=True)
        batcher = Batcher(engine, lambda: 2, ThreadPoolExecutor(1), max_batch=8, wait_ms=1000.0)
        working = asyncio.create_task(batcher.run())
        gives_up, stays = (asyncio.create_task(batcher.ask(request(i), {})) for i in (1, 2))
        while not engine.batches:
            await asyncio.sleep(0.01)
        gives_up.cancel()
        engine.may_go.set()
        answer = await stays
        later = await batcher.ask(request(5), {})
        working.cancel()
        return float(answer.actions[0, 0]), float(later.actions[0, 0])

    assert asyncio.run(run()) == (4, 10)


def test_who_waits_when_the_server_stops_is_let_go():
    async def run():
        engine = Doubling(hold=True)
        batcher = Batcher(engine, lambda: 1, ThreadPoolExecutor(1), max_batch=1, wait_ms=0.0)
        working = asyncio.create_task(batcher.run())
        asked = [asyncio.create_task(batcher.ask(request(i), {})) for i in (1, 2)]
        while not engine.batches:
            await asyncio.sleep(0.01)
        working.cancel()
        answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
        engine.may_go.set()
        return answers

    assert all(isinstance(one, asyncio.CancelledError) for one in asyncio.run(run()))
