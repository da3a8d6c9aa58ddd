"""What a policy's training says of cameras, from the windows that it asks for and the episodes that there are."""

import pytest

from dataengine.windows.window import WindowSpec
from pipelines.training.act.cameras import SMALL_WRIST, describe
from tests.support.readers import make_episode

ALONE, BOTH = ("primary",), ("primary", "wrist")


@pytest.mark.parametrize(
    ("optional", "cameras", "said"),
    [
        ((), [ALONE], "cameras read: primary (1 of 1 episodes)"),
        (
            (),
            [ALONE, BOTH],
            f"cameras read: primary (2 of 2 episodes); left out: wrist (1 of 2 episodes), which --set '{SMALL_WRIST}' "
            "reads",
        ),
        (("wrist",), [ALONE, BOTH], "cameras read: primary (2 of 2 episodes), wrist (1 of 2 episodes)"),
        (("wrist",), [ALONE], "cameras read: primary (1 of 1 episodes)"),
        (
            ("wrist",),
            [(*BOTH, "wrist_2", "secondary")],
            "cameras read: primary (1 of 1 episodes), wrist (1 of 1 episodes); left out: secondary (1 of 1 episodes), "
            "wrist_2 (1 of 1 episodes), which --set 'model.more_cameras=[secondary, wrist_2]' reads",
        ),
        (
            ("wrist", "wrist_2"),
            [(*BOTH, "wrist_2", "secondary")],
            "cameras read: primary (1 of 1 episodes), wrist (1 of 1 episodes), wrist_2 (1 of 1 episodes); left out: "
            "secondary (1 of 1 episodes), which --set 'model.more_cameras=[wrist_2, secondary]' reads",
        ),
        ((), [("wrist",)], f"cameras read: none; left out: wrist (1 of 1 episodes), which --set '{SMALL_WRIST}' reads"),
    ],
)
def test_cameras_that_are_read_and_left_out_are_told_with_their_episodes(optional, cameras, said):
    episodes = [make_episode(i, cameras=slots) for i, slots in enumerate(cameras)]
    assert describe(WindowSpec(optional_slots=optional), episodes) == said
