"""Episodes in memory as the rows that stages measure."""

import json

import google_crc32c
import pyarrow as pa

from dataengine.curation.episode_rows import NUMBER_COLUMNS, EpisodeRows
from dataengine.hands import rows as hands_rows
from dataengine.schema import EPISODES, checksum_column


def rows_of_episodes(*episodes):
    """Lay episodes side by side as a table of the corpus does."""
    rows = []
    for e in episodes:
        row = {name: getattr(e, name) for name in ("episode_id", "dataset", "embodiment", "kind", "control_hz")}
        row |= {"num_steps": e.num_steps, "instruction": list(e.instruction), "time_ns": e.time_ns}
        row |= {"notes": json.dumps(dict(e.notes))}
        for slot, frames in e.cameras.items():
            crc = google_crc32c.value(b"".join(frames.jpegs))
            row |= {f"height_{slot}": frames.height, checksum_column(slot): crc}
        for name in ("state", "action"):
            values = getattr(e, name)
            row[name] = None if values is None else values.reshape(-1)
            row |= {f"{name}_dim": 0 if values is None else values.shape[1]}
            row[f"{name}_encoding"] = getattr(e, f"{name}_encoding")
        rows.append(row | hands_rows.to_row(e.hands))
    schema = pa.schema([EPISODES.field(name) for name in NUMBER_COLUMNS])
    return EpisodeRows(pa.Table.from_pylist(rows, schema=schema))
