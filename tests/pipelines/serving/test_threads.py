"""A server answers each size of batch with the threads that were fastest when it warmed up; time is a fake here."""

import pytest
import torch

from pipelines.serving import threads
from pipelines.serving.threads import BUDGET_S, Threads


class Machine:
    """Answers take what a table says of observations and threads, on a clock of its own."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def answer(self, batch):
        self.now += self.seconds(batch, torch.get_num_threads())


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def measured(monkeypatch, seconds, max_batch=8):
    machine = Machine(seconds)
    monkeypatch.setattr(threads, "perf_counter", lambda: machine.now)
    chosen = Threads.measured(machine.answer, max_batch)

    def used(batch):
        chosen.use(batch)
        return torch.get_num_threads()

    return used


def test_one_observation_takes_one_thread_and_many_take_those_that_pay(monkeypatch, four_threads):
    used = measured(monkeypatch, lambda batch, count: 0.001 + 0.001 * batch / min(count, batch))
    assert [used(batch) for batch in (1, 2, 3, 4, 7, 8)] == [1, 2, 2, 4, 4, 4]


def test_threads_that_gain_next_to_nothing_are_left_to_others(monkeypatch, four_threads):
    used = measured(monkeypatch, lambda batch, count: 0.010 - 0.0005 * count)
    assert {used(batch) for batch in range(1, 9)} == {1}


def test_a_policy_too_slow_to_measure_takes_all_threads(monkeypatch, four_threads):
    used = measured(monkeypatch, lambda batch, count: BUDGET_S)
    assert [used(batch) for batch in (1, 8)] == [4, 4]
