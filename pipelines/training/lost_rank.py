"""A rank that is gone takes the others with it: how they notice."""

from dataengine.errors import DataEngineError

SIGNS = ("connection closed", "connection reset", "connection refused", "broken pipe", "remote process exited")
"""In what torch says when another process is gone."""


class LostRankError(DataEngineError):
    """Another rank is gone; nothing is wrong with this one, nor with what it was given."""


def is_lost(error: BaseException) -> bool:
    """Tell whether an error of torch means that another rank is gone."""
    return any(sign in str(error).lower() for sign in SIGNS)
