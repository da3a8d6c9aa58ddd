import re
from pathlib import Path

import pytest
import torch

from pipelines.training.distributed import Distributed
from pipelines.training.guards import stragglers
from pipelines.training.guards.stragglers import Stragglers
from tests.support import slow_rank
from tests.support.forked import run


class Beside(Distributed):
    """Rank 0 of three, beside two whose times are known."""

    others = (10.0, 10.0)

    def all_gather(self, values: torch.Tensor) -> torch.Tensor:
        return torch.stack([values, *(torch.full_like(values, ms) for ms in self.others)])


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(hosts: list[str], mine: str) -> None:
        hosts[:] = ["node-0", "node-1", "node-2"]

    monkeypatch.setattr(stragglers.dist, "all_gather_object", gather)


def entries(*waits_ms: float) -> list[str]:
    said: list[str] = []
    guard, waited = Stragglers(Beside(0, 3, torch.device("cpu")), said.append), 0.0
    for ms in waits_ms:
        waited += 10 * ms / 1e3
        guard.check(10, waited)
    return said


@pytest.mark.usefixtures("three")
def test_a_rank_that_stays_slow_is_named_once_with_its_machine() -> None:
    (said,) = entries(40, 40, 40, 40)
    assert said.startswith(
        "rank 0 on node-0 takes 40 ms for the data and the forward pass of a step, the others 10: all"
    )


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("waits_ms", [(40, 10, 40, 10), (14, 14, 14), (10, 10)])
def test_being_slow_once_or_a_little_is_not_worth_a_word(waits_ms: tuple[float, ...]) -> None:
    assert entries(*waits_ms) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["data", "forward"])
def test_a_rank_with_slow_data_or_a_slow_forward_pass_is_named(tmp_path: Path, how: str) -> None:
    ended = run(slow_rank.main, tmp_path, how, ranks=2)
    (line,) = [line for rank in ended for line in rank.stderr.splitlines() if "all wait for it" in line]
    assert re.match(r"toy: rank 1 on \S+ takes \d+ ms", line)
