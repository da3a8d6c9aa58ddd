"""What the page on training tells of the figures of a run."""

import json
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def unexplained(run: Path) -> set[str]:
    """Figures in a run's `metrics.jsonl` that the page does not explain."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    tables = "\n".join(s for s in sections if s.startswith(("Watching a training", "What the figures mean")))
    explained = {
        name.removeprefix("val_")
        for name in re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|.*", tables, re.MULTILINE)))
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = {re.sub(r"(?<=_slot_)\d+$", "K", name.removeprefix("val_")) for line in lines for name in line}
    names = {re.sub(r"(?<=^grad_norm_)\w+$", "PART", name) for name in names}
    names = {re.sub(r"^(dataset|embodiment)/.+/", "", name) for name in names}
    assert len(names) > 5
    return names - explained - {"step", "notes"}
