import socket
from pathlib import Path

import pytest
import torch

from dataengine.errors import DataEngineError
from pipelines.training.distributed import process_group
from tests.support import forked, hanging_rank


def test_those_that_lose_a_rank_say_which_and_what_it_said(tmp_path: Path) -> None:
    lost, failed = forked.run(hanging_rank.main, tmp_path, "fail", ranks=2, check=False, alone=True)
    assert "rank 0 lost another rank in" in lost.stderr
    assert lost.stderr.endswith(f"; rank 1 ({socket.gethostname()}) ended: no corpus here\n")
    assert failed.stderr.endswith("DataEngineError: no corpus here\n")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("WORLD_SIZE", "two", "WORLD_SIZE is two, expected a number from 1"),
        ("RANK", "2", "RANK is 2, expected a number from 0 to 1"),
        ("RANK", None, "RANK is not set, expected a number"),
        ("MASTER_ADDR", None, "MASTER_ADDR is not set, expected the machine of rank 0"),
        ("MASTER_PORT", "http", "MASTER_PORT is http, expected a number from 1 to 65535"),
    ],
)
def test_an_odd_environment_is_refused_and_nobody_waited_for(
    name: str, value: str | None, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for key, text in {**given, name: value}.items():
        monkeypatch.delenv(key, raising=False) if text is None else monkeypatch.setenv(key, text)
    with pytest.raises(DataEngineError, match=line), process_group(torch.device("cpu")):
        pass
