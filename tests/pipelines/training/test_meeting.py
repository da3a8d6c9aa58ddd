import socket
from pathlib import Path

from tests.support import forked, hanging_rank


def test_those_that_lose_a_rank_say_which_and_what_it_said(tmp_path: Path) -> None:
    lost, failed = forked.run(hanging_rank.main, tmp_path, "fail", ranks=2, check=False, alone=True)
    assert "rank 0 lost another rank in" in lost.stderr
    assert lost.stderr.endswith(f"; rank 1 ({socket.gethostname()}) ended: no corpus here\n")
    assert failed.stderr.endswith("DataEngineError: no corpus here\n")
