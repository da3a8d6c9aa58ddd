"""What a corpus holds."""

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from dataengine.episode import CAMERA_SLOTS
from dataengine.report import Report
from dataengine.schema import EPISODES, VERSION_KEY, frames_column
from dataengine.storage import Folder
from dataengine.store.commit.committer import HELD
from dataengine.store.tables import SIDE_TABLES, exists, open_table
from dataengine.store.upkeep import compaction, verify_tables
from dataengine.windows import labels

if TYPE_CHECKING:
    from dataengine.store.read.corpus import Corpus


class GroupInfo(Report):
    """Episodes of one embodiment in one dataset."""

    dataset: str
    embodiment: str
    kind: str
    episodes: int
    steps: int
    hours: float


class CorpusInfo(Report):
    """Counts and versions of a corpus."""

    uri: str
    schema_version: int
    versions: dict[str, int]
    """Version of each table."""
    episodes: int
    steps: int
    bytes: int
    """Of all frames."""
    fragments: int
    compacted_fragments: int
    """Fragments that `villa corpus compact` would leave."""
    frame_sizes: dict[str, list[str]]
    """Sizes, height x width, that frames were scaled down to, each with its datasets."""
    snapshots: list[str]
    groups: list[GroupInfo]
    cameras: dict[str, int]
    """Episodes that have a camera in this slot."""
    added_columns: list[str]
    latents: dict[str, str]
    """Latent actions by name: what each spans and was read from, by which camera and model."""
    """Labels and quality columns."""
    rejected_parts: int
    rejected_records: int
    runs: int
    staged_parts: int
    """Receipts of an ingest that was stopped, or is running: the next one commits them."""

    def notes(self) -> list[str]:
        """Say what should be known or done."""
        notes = []
        if self.staged_parts:
            notes.append(f"{self.staged_parts} parts are staged: an ingest is running, or was stopped and can go on")
        if len(self.frame_sizes) > 1:
            notes.append(verify_tables.frame_sizes_note(self.frame_sizes))
        if self.fragments - self.compacted_fragments >= compaction.PAYS:
            notes.append(
                f"{self.fragments} fragments slow down every command: `villa corpus compact` makes "
                f"{self.compacted_fragments} of them"
            )
        return notes

    def summary(self) -> str:
        """Print the counts, one line for each group."""
        lines = [f"{self.uri}: {self.episodes} episodes, {self.steps} steps, {self.bytes / 1e6:.1f} MB of frames"]
        lines += [
            f"  {g.dataset} ({g.embodiment}, {g.kind}): {g.episodes} episodes, {g.steps} steps" for g in self.groups
        ]
        lines.append("  cameras: " + (", ".join(f"{slot} {count}" for slot, count in self.cameras.items()) or "none"))
        lines.append("  added columns: " + (", ".join(self.added_columns) or "none"))
        lines += [f"  latent actions '{name}': {about}" for name, about in self.latents.items()]
        lines.append(f"  rejected: {self.rejected_parts} parts, {self.rejected_records} records; runs: {self.runs}")
        lines.append("  versions: " + ", ".join(f"{name} {version}" for name, version in self.versions.items()))
        lines += [f"  note: {note}" for note in self.notes()]
        return "\n".join(lines)


def info(corpus: "Corpus") -> CorpusInfo:
    """Count what a corpus holds, without reading a frame."""
    keys = ["dataset", "embodiment", "kind"]
    table = corpus.table([*keys, "num_steps", "control_hz"])
    table = table.append_column("seconds", pc.divide(pc.cast(table["num_steps"], pa.float64()), table["control_hz"]))
    sums = table.group_by(keys).aggregate([("num_steps", "count"), ("num_steps", "sum"), ("seconds", "sum")])
    groups = [
        GroupInfo(
            **{key: row[key] for key in keys},
            episodes=row["num_steps_count"],
            steps=row["num_steps_sum"],
            hours=row["seconds_sum"] / 3600,
        )
        for row in sums.sort_by([(key, "ascending") for key in keys]).to_pylist()
    ]
    sizes = {slot: _blob_sizes(corpus, slot) for slot in CAMERA_SLOTS}
    rejects = corpus.rejects()
    rejected = rejects.filter(pc.not_equal(rejects["error"], HELD))["record"].to_pylist()
    pieces = compaction.pieces(corpus.lance_table, corpus.uri)
    joined = compaction.groups(pieces, compaction.TARGET_BYTES)
    tables = [name for name in (*SIDE_TABLES, "stats") if exists(corpus.uri, name)]
    return CorpusInfo(
        uri=corpus.uri,
        schema_version=int(corpus.schema.metadata[VERSION_KEY]),
        versions={"episodes": corpus.version, **{name: open_table(corpus.uri, name).version for name in tables}},
        episodes=len(table),
        steps=sum(group.steps for group in groups),
        bytes=sum(sum(known) for known in sizes.values()),
        fragments=len(pieces),
        compacted_fragments=len(pieces) - sum(len(group) - 1 for group in joined),
        frame_sizes=verify_tables.frame_sizes(corpus),
        snapshots=[snapshot.name for snapshot in corpus.snapshots()],
        groups=groups,
        cameras={slot: len(known) for slot, known in sizes.items() if known},
        latents={name: labels.about(corpus.schema, name) for name in labels.label_names(corpus.schema)},
        added_columns=[name for name in corpus.schema.names if name not in EPISODES.names],
        rejected_parts=rejected.count(""),
        rejected_records=len(rejected) - rejected.count(""),
        runs=len(corpus.runs()),
        staged_parts=sum(name.endswith(".json") for name in Folder(f"{corpus.uri}/_staging").sizes()),
    )


def _blob_sizes(corpus: "Corpus", slot: str) -> list[int]:
    """Bytes of one camera in each episode that has it, from the blobs' descriptors."""
    descriptors = corpus.scan([frames_column(slot), f"height_{slot}"], where=f"height_{slot} IS NOT NULL")
    return [size for batch in descriptors for size in batch.column(0).field("size").to_pylist()]
