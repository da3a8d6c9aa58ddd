import io
import re
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from dataengine.errors import DataEngineError
from pipelines.training import distributed, meeting
from pipelines.training.distributed import Distributed
from pipelines.training.guards.hang import Standing, Watchdog, culprits
from tests.support import hanging_rank
from tests.support.forked import free_port, run
from tests.support.toy import losses, make_run


def test_a_run_is_watched_where_the_error_stream_has_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # as in a notebook
    dog = Watchdog(tmp_path, "toy", Distributed(0, 1, torch.device("cpu")), 10)
    dog._poll_s = 0.01
    with dog.watching(1):
        watching = next(one for one in threading.enumerate() if one.name == "watchdog")
        watching.join(0.2)
        assert watching.is_alive()


@pytest.mark.parametrize(
    ("world_size", "message"),
    [
        (1, r"rank 0 \(.*\) stands in data of step 4;"),
        (2, r"rank 1 of 2 does not answer; rank 0 \(.*\) stands in data"),
    ],
)
def test_a_run_that_does_not_move_ends_in_one_line_and_leaves_its_stack(
    tmp_path: Path, world_size: int, message: str
) -> None:
    (ended,) = run(hanging_rank.stand, tmp_path, world_size, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(f"toy: nothing has moved for 1 s: {message}.*\n", ended.stderr)
    stack = (tmp_path / "hangs" / "from-step-00000003" / "rank-00000.txt").read_text()
    assert re.search(r'hanging_rank.py", line \d+ in stand', stack)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sleep", "die"])
def test_a_rank_that_stands_still_or_dies_ends_all_of_them(tmp_path: Path, how: str) -> None:
    ranks = run(hanging_rank.main, tmp_path, how, ranks=2, check=False, alone=True)
    messages = [rank.stderr for rank in ranks]
    assert all(rank.returncode for rank in ranks)
    if how == "die":
        assert "rank 0 lost another rank in " in messages[0]
        assert "of step 6" in messages[0]
        assert f"no word from rank 1 ({socket.gethostname()}): killed" in messages[0]
        return
    (line,) = [line for line in "".join(messages).splitlines() if "nothing has moved" in line]
    assert re.search(r"rank 1 \(.*\) stands in forward of step 6, where the others wait for it in backward of ", line)
    stacks = [(tmp_path / "hangs" / "from-step-00000000" / f"rank-0000{rank}.txt").read_text() for rank in range(2)]
    assert "hanging_rank.py" in stacks[1]
    assert " in loss" in stacks[1]
    assert " in _one_step" in stacks[0]


def test_a_run_that_moves_is_left_alone(tmp_path: Path) -> None:
    made = make_run(tmp_path / "short", hang_timeout_s=1)
    made.model.at_step = lambda step: time.sleep(0.2)
    assert made.train().finished
    make_run(tmp_path / "long").train()
    assert losses(tmp_path / "short") == losses(tmp_path / "long")
    assert not (tmp_path / "short" / "hangs").exists()


def test_ranks_that_all_stand_at_the_same_spot_may_wait_for_the_network() -> None:
    standings = [Standing(rank, "node", 7, 3, "backward") for rank in range(6)]
    said = culprits(standings, 6)
    assert said.startswith("rank 0 (node) stands in backward of step 3, rank 1 (node)")
    assert said.endswith("and 2 more ranks, so it may be the network")


def test_a_rank_that_never_comes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    about = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in about.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(meeting, "MEET_S", 0.2)
    with (
        pytest.raises(
            DataEngineError,
            match=rf"^rank 0 of 2 cannot meet the others at 127.0.0.1:{port}: rank 1 of 2 did not come; ",
        ),
        distributed.process_group(torch.device("cpu"), 1),
    ):
        pass
