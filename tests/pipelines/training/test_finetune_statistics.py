"""Whose quantiles scale a robot that a policy knows."""

from dataclasses import replace

import pytest

from dataengine.errors import DataEngineError
from pipelines.training.finetune.statistics import joined
from tests.support.readers import MadeReader, make_episode, statistics


def encoded(action: str):
    """Statistics of a robot whose actions are of an encoding."""
    (one,) = statistics(MadeReader([make_episode(0, embodiment="arm")])).values()
    return {"arm": replace(one, action=replace(one.action, encoding=action))}


def test_quantiles_of_another_encoding_do_not_scale_as_many_numbers():
    saved, data = encoded("eef_delta"), encoded("joint_position")
    with pytest.raises(DataEngineError, match="action of embodiment 'arm' is joint_position in the data, eef_delta in"):
        joined(saved, data, ["arm"], "reuse")
    merged, origins = joined(saved, data, ["arm"], "recompute")
    assert (merged["arm"].action.encoding, origins) == ("joint_position", {"arm": "recomputed"})


def test_where_nobody_says_how_numbers_are_encoded_they_are_taken_for_the_same():
    for saved, data in ((encoded(""), encoded("eef_delta")), (encoded("eef_delta"), encoded("eef_delta"))):
        assert joined(saved, data, ["arm"], "reuse")[1] == {"arm": "reused"}
