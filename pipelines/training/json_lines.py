"""Files of a run with a JSON object for each line, which has a `step`."""

import json
from pathlib import Path

from dataengine.whole_file import write_whole


def cut_after(path: Path, step: int) -> None:
    """Keep the whole lines up to `step`: a killed process may have written further than its last checkpoint."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, TypeError, LookupError):  # the process, or the machine, died inside this line
            break
        kept.append(line + "\n")
    write_whole(path, "".join(kept))
