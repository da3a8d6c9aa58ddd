"""Which of several commands creates the tables of a corpus in an object store, where nothing can be moved into place.

Each puts down a marker and waits longer than the store's clock is coarse. Then all see the same markers that count, and
the earliest by the store's own clock creates; a marker that comes later is later for everybody.
"""

import time
import uuid
from collections.abc import Callable
from typing import Final

from dataengine.errors import CorpusError
from dataengine.storage import Folder

TICK_S: Final = 2.0
"""S3 keeps whole seconds."""
STALE_S: Final = 60.0
"""A creator that has not finished by then is taken for dead."""


def is_ours(corpus: str, exists: Callable[[], bool]) -> bool:
    """Tell whether this command is to create the tables; if another does, return False once they exist."""
    folder = Folder(f"{corpus}/_creators")
    mine = uuid.uuid4().hex
    folder.write(mine, b"")
    time.sleep(TICK_S)
    markers = folder.modified_ns()
    fresh = [name for name, at in markers.items() if at > markers[mine] - STALE_S * 1e9]
    if min(fresh, key=lambda name: (markers[name], name)) == mine:
        return True
    folder.delete(mine)
    for _ in range(int(STALE_S)):
        if exists():
            return False
        time.sleep(1.0)
    raise CorpusError(f"{corpus}: another command began to create it and did not finish; run the same command again")
