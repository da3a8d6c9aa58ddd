from tests.support import forked, unlike_rank


def test_ranks_with_other_settings_refuse_to_train_together() -> None:
    first, second = forked.run(unlike_rank.main, 0.1, 0.2, ranks=2, check=False, alone=True)
    assert "OtherRankError: another rank was given other settings or data, and says which\n" in first.stderr
    assert "rank 1 was given other settings or data than rank 0 (lr: 0.1 -> 0.2); start all ranks" in second.stderr


def test_ranks_with_the_same_settings_go_on() -> None:
    forked.run(unlike_rank.main, 0.1, 0.1, ranks=2)
