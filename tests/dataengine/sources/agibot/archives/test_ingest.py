"""`villa ingest agibot` of archives and of extracted files."""

from pathlib import Path
from typing import Any

from cli.app import app
from cli.contract import invoke
from dataengine.store import Corpus


def ingest(root: Path, corpus: Path, *argv: str) -> dict[str, Any]:
    """Take a tree in from the command line and read every row back, but for where it lay."""
    assert invoke(app, ["ingest", "agibot", str(root), "--corpus", str(corpus), "--workers", "1", *argv]) == 0
    assert invoke(app, ["corpus", "verify", str(corpus), "--deep"]) == 0
    names = ["source_record", "episode_id", "instruction", "embodiment", "time_ns", "notes"]
    names += ["state", "action", "raw_state", "raw_action"]
    stored = Corpus.open(corpus)
    rows = {row["source_record"]: row for row in stored.table(names).to_pylist()}
    for row in rows.values():
        row["frames"] = {
            slot: stored.episode(row["episode_id"]).jpegs(slot) for slot in ("primary", "wrist", "wrist_2")
        }
    return rows


def test_from_the_command_line_archives_give_the_rows_of_extracted_files(
    template: Path, packed: Path, tmp_path: Path
) -> None:
    for unit, count in (("episode", 5), ("segment", 10)):
        rows = ingest(packed, tmp_path / f"packed_{unit}", "--unit", unit)
        assert len(rows) == count
        assert rows == ingest(template, tmp_path / f"extracted_{unit}", "--unit", unit)


def test_what_is_downloaded_later_is_taken_in_by_the_same_command_once(
    packed: Path, root: Path, tmp_path: Path
) -> None:
    late = ["observations/327/650001-650001.tar", "proprio_stats/648700-651000.tar"]
    for name in late:
        (root / name).rename(tmp_path / Path(name).name)
    assert ingest(root, tmp_path / "corpus").keys() == {"327/648642", "400/648650"}
    for name in late:
        (tmp_path / Path(name).name).rename(root / name)
    rows = ingest(root, tmp_path / "corpus")
    assert len(rows) == len(Corpus.open(tmp_path / "corpus")) == 5
    assert rows == ingest(packed, tmp_path / "at_once")
