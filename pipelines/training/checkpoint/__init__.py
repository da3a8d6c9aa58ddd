"""All that a run needs to go on: one directory for each saved step, whole or not there at all.

`folder` knows what lies there, `snapshot` copies a run's tensors, `writing` and `reading` move them to and from files.
"""

from pipelines.training.checkpoint.folder import (
    STATE_NAME,
    UNFINISHED,
    DamagedCheckpointError,
    disk_errors,
    newest_whole,
    path,
    read_state,
    remove,
    step_of,
    steps,
    unfinished,
    write_files,
)
from pipelines.training.checkpoint.reading import load, load_ema, read_weights

__all__ = [
    "STATE_NAME",
    "UNFINISHED",
    "DamagedCheckpointError",
    "disk_errors",
    "load",
    "load_ema",
    "newest_whole",
    "path",
    "read_state",
    "read_weights",
    "remove",
    "step_of",
    "steps",
    "unfinished",
    "write_files",
]
