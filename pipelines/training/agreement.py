"""The ranks of one run are started machine by machine: all must have been given the same settings and the same data."""

import json
from collections.abc import Mapping
from typing import Any

from dataengine.differences import differences
from dataengine.errors import OtherSettingsError
from pipelines.training.checkpoint.writing import OtherRankError
from pipelines.training.distributed import Distributed
from pipelines.training.seen import TITLES


def require_same(distributed: Distributed, facts: Mapping[str, Any]) -> None:
    """Hold this rank's settings and data, as JSON knows them, against those of rank 0; all ranks call it.

    Raise OtherSettingsError on a rank where they differ, OtherRankError on all others.
    """
    mine = json.dumps(facts)
    first = distributed.broadcast_text(mine)
    differing = list(differences(json.loads(first), json.loads(mine), TITLES))
    if distributed.any(bool(differing)):
        if not differing:
            raise OtherRankError("another rank was given other settings or data, and says which")
        raise OtherSettingsError(
            f"rank {distributed.rank} was given other settings or data than rank 0 ({'; '.join(differing[:1])}); start "
            f"all ranks with the same command, on the same data",
            differing,
        )
