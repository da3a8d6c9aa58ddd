"""Errors come whole out of worker processes."""

import pickle

import pytest

from dataengine.errors import DataEngineError, MissingMappingError, OtherSettingsError, UnknownOptionError

ERRORS = [
    DataEngineError("a line"),
    OtherSettingsError("a line", ["lr 1 -> 2"]),
    UnknownOptionError("a line", "lerobot", "--roots", ["root"], "otherwise"),
    MissingMappingError("a line", "draft"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_on_the_other_side_of_a_process(error):
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
