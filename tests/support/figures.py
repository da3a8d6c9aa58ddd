"""What the page on training tells of the figures of a run."""

import json
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def untold(run: Path) -> set[str]:
    """Figures in a run's `metrics.jsonl` that the page does not explain."""
    section = PAGE.read_text().split("## What the figures mean")[1].split("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE))))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = {re.sub(r"(?<=_slot_)\d+$", "K", name) for line in lines for name in line}
    assert len(names) > 5
    return names - told - {"step", "notes"}
