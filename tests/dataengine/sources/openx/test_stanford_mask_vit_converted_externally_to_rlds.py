from pathlib import Path

from tests.support.openx_case import case_of, read_one
from tests.support.openx_values import T

NAME = "stanford_mask_vit_converted_externally_to_rlds"


def test_the_dummy_action_at_the_end_is_kept_on_demand(tmp_path: Path) -> None:
    episode = read_one(NAME, tmp_path, case_of(NAME), keep_last_step=True)
    assert (episode.num_steps, len(episode.cameras["primary"].jpegs)) == (T, T)
