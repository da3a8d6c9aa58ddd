"""Whether the tables of a corpus agree with each other and with the files below them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import lance
import pyarrow.compute as pc

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import CorpusError
from dataengine.store.commit.receipts import data_folder
from dataengine.store.tables import open_table

if TYPE_CHECKING:
    from dataengine.store.read.corpus import Corpus


@dataclass
class Tables:
    """What was found."""

    registries: dict[str, dict[str, int]]
    files: int = 0
    parts: int = 0
    missing: bool = False
    """Files are missing, so that rows cannot be read."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def look(corpus: "Corpus") -> Tables:
    """Check files, ledger, rejects, runs and snapshots."""
    tables = Tables({"dataset": corpus.datasets(), "embodiment": corpus.embodiments()})
    sizes = data_folder(corpus.uri).tree()
    gone, tables.files = _files(corpus.lance_table, sizes)
    tables.missing = bool(gone)
    tables.problems += gone
    if not tables.missing:
        tables.problems += _ledger(corpus, tables)
        scaled = frame_sizes(corpus)
        tables.notes += [frame_sizes_note(scaled)] if len(scaled) > 1 else []
    if corpus.snapshot is None:
        tables.problems += _snapshots(corpus, sizes)
    return tables


def _files(table: lance.LanceDataset, sizes: dict[str, int]) -> tuple[list[str], int]:
    """Name the files of a version that are not there or not whole, and count the others."""
    problems, count = [], 0
    for fragment in table.get_fragments():
        for file in fragment.data_files():
            size = sizes.get(file.path)
            if size is None:
                problems.append(f"file data/{file.path} of fragment {fragment.fragment_id} is missing")
            elif file.file_size_bytes not in (None, size):
                problems.append(f"file data/{file.path} has {size} bytes, expected {file.file_size_bytes}")
            else:
                count += 1
    return problems, count


def _ledger(corpus: "Corpus", tables: Tables) -> Iterator[str]:
    """Check that a part was committed once and whole, is not also given up, and that a known run wrote it."""
    held: dict[str, set[tuple[str, str]]] = defaultdict(set)
    runs = set()
    for part, dataset, fingerprint, run in corpus.distinct(["part_id", "dataset", "source_fingerprint", "run_id"]):
        held[part].add((dataset, fingerprint))
        runs.add(run)
    tables.parts = len(held)
    for part, origins in sorted(held.items()):
        if len(origins) > 1:
            yield f"part {part}: its rows come from {len(origins)} datasets or states of its source, expected one"
    rejects = corpus.rejects()
    given_up = rejects.filter(pc.equal(rejects["record"], ""))["part_id"].to_pylist()
    for part in sorted(held.keys() & set(given_up)):
        yield f"part {part}: is in the table and in rejects.lance as given up; its next ingest puts that right"
    for run in sorted(runs - set(corpus.runs()["run_id"].to_pylist())):
        yield f"run {run}: wrote rows but is not in runs.lance"


def _snapshots(corpus: "Corpus", sizes: dict[str, int]) -> Iterator[str]:
    """Check that what snapshots name can still be read."""
    for snapshot in corpus.snapshots():
        for name, version in snapshot.versions.items():
            try:
                table = open_table(corpus.uri, name, version)
            except CorpusError:
                yield f"snapshot {snapshot.name}: version {version} of {name}.lance is gone"
                continue
            if name == "episodes":
                yield from (f"snapshot {snapshot.name}: {problem}" for problem in _files(table, sizes)[0])


def frame_sizes(corpus: "Corpus") -> dict[str, list[str]]:
    """Find the sizes (height x width) that frames were scaled down to, and the datasets that have them."""
    sizes: dict[tuple[int, int], set[str]] = defaultdict(set)
    for slot in CAMERA_SLOTS:
        scaled = f"native_height_{slot} > height_{slot}"
        for dataset, height, width in corpus.distinct(["dataset", f"height_{slot}", f"width_{slot}"], scaled):
            sizes[height, width].add(dataset)
    return {f"{h}x{w}": sorted(names) for (h, w), names in sorted(sizes.items(), reverse=True)}


def frame_sizes_note(sizes: dict[str, list[str]]) -> str:
    """Say that datasets were ingested with different frame sizes."""
    said = "; ".join(f"{size}: {', '.join(names)}" for size, names in sizes.items())
    return f"frames were scaled to different sizes ({said}); one --frame-size for all keeps cameras comparable"
