from pathlib import Path

from pipelines.training import checkpoint
from tests.support import forked, hanging_rank


def test_sigterm_to_one_rank_saves_and_ends_all_of_them_with_143(tmp_path: Path) -> None:
    ranks = forked.run(hanging_rank.main, tmp_path, "terminate", ranks=2, check=False, alone=True)
    assert [rank.returncode for rank in ranks] == [143, 143]
    assert "stopped after step 6 of 12, saved; the same command continues" in ranks[0].stderr
    assert checkpoint.steps(tmp_path / "checkpoints")[-1] == 6
