"""Work that takes its process down. Its module imports nothing: whatever takes up the work starts anew each time."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fragile:
    """Its work takes the process down until the file says that it did so often enough."""

    folder: Path
    deaths: int

    def __call__(self):
        return self.work

    def work(self, item):
        died = len(list(self.folder.glob(f"{item}.*")))
        if item == 3 and died < self.deaths:
            (self.folder / f"{item}.{died}").touch()
            os._exit(1)
        return item * item
