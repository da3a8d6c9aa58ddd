from tests.support import forked, last_owner


def test_a_model_may_be_freed_after_the_process_group() -> None:
    forked.run(last_owner.main)
