"""Writes episodes without pictures, as a corpus and as shards, by the million: `python made_episodes.py FOLDER COUNT`.

The mix is that of villa-X's corpus: 31 % robots of 20 datasets under 50,000 instructions, the others clips of people of
4 datasets, in groups of 50, each second one with a sentence of its own. Tars have their size and no content.
"""

import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataengine.shards.manifest import FORMAT, INDEX, VERSION, with_checksum
from dataengine.store import Corpus
from dataengine.store.tables import EPISODES

ROWS = 100_000
"""In a fragment, and in a shard."""
WITHOUT = ("frames_", "offsets_", "hands_")


def main(folder: Path, count: int) -> None:
    corpus = Corpus.create(folder / "corpus")
    (folder / "shards").mkdir()
    entries, steps = [], 0
    for number, facts in enumerate(pieces(count)):
        lance.write_dataset(as_rows(facts), f"{corpus.uri}/episodes.lance", mode="append")
        entries.append(write_shard(folder / "shards", number, facts))
        steps += int(facts["num_steps"].sum())
    write_manifest(folder / "shards", entries, count, steps)


def pieces(count: int) -> Iterator[dict[str, Any]]:
    draw = np.random.default_rng(0)
    for first in range(0, count, ROWS):
        n = min(ROWS, count - first)
        person = draw.random(n) > 0.31
        dataset = np.where(person, 20 + draw.integers(4, size=n), draw.integers(20, size=n))
        steps = draw.integers(20, 130, size=n)
        own = [f"someone does thing {first + i} with the left hand" for i in range(n)]
        task = [f"put the {k // 250} into the {k % 250}" for k in draw.integers(50_000, size=n).tolist()]
        says = [own[i] if p and i % 2 else task[i] for i, p in enumerate(person.tolist())]
        yield {
            "episode_id": [f"{k:016x}" for k in draw.integers(2**63, size=n).tolist()],
            "dataset": [f"dataset_{k:02}" for k in dataset.tolist()],
            "dataset_id": dataset + 1,
            "embodiment": [f"body_{k % 9}" for k in dataset.tolist()],
            "embodiment_id": dataset % 9 + 1,
            "kind": np.where(person, "human", "robot").tolist(),
            "control_hz": (3.0 + dataset % 5).tolist(),
            "num_steps": steps,
            "split": ["train"] * n,
            "split_group": [f"person {i // 50}" if p else None for i, p in enumerate(person.tolist(), first)],
            "instruction": [[text] for text in says],
            "texts": [
                [{"start": 0, "end": k, "phrases": [text]}] for text, k in zip(says, steps.tolist(), strict=True)
            ],
            "person": person,
            "wrist": draw.random(n) > 0.7,
        }


def as_rows(facts: dict[str, Any]) -> pa.Table:
    n = len(facts["episode_id"])
    given = dict(facts)
    for side in ("height", "width", "native_height", "native_width"):
        given |= {f"{side}_primary": [224] * n, f"{side}_wrist": [224 if there else None for there in facts["wrist"]]}
    given |= {f"{name}_dim": np.where(facts["person"], 0, 7) for name in ("state", "action")}
    fields = [field for field in EPISODES if not field.name.startswith(WITHOUT)]
    columns = [pa.array(given.get(f.name, [None] * n), f.type) for f in fields]
    schema = pa.schema([f.with_nullable(f.name not in given) for f in fields])
    return pa.Table.from_arrays(columns, schema=pa.schema([EPISODES.field(f.name) for f in schema]))


def write_shard(folder: Path, number: int, facts: dict[str, Any]) -> dict[str, Any]:
    n, steps = len(facts["episode_id"]), facts["num_steps"]
    offsets, sizes, members, end = [], [], [], 0
    for i in range(n):
        names = ["json", "state.npy", "action.npy"][: 1 if facts["person"][i] else 3]
        names += ["latent_lam.npy", "codes_lam.npy", "frames_primary.bin", "offsets_primary.npy"]
        names += ["frames_wrist.bin", "offsets_wrist.npy"] if facts["wrist"][i] else []
        width = {"json": 8, "state.npy": 28, "action.npy": 28, "latent_lam.npy": 512, "codes_lam.npy": 8}
        size = [128 + int(steps[i]) * width.get(name, 14_000 if name.startswith("frames") else 8) for name in names]
        spans = []
        for one in size:
            spans.append(end + 512)
            end += 512 + -(-one // 512) * 512
        offsets.append(spans)
        sizes.append(size)
        members.append(names)
    entry = {"name": f"shard-{number:06d}.tar", "num_bytes": end, "sha256": "0" * 64, "num_samples": n}
    entry["num_steps"] = int(steps.sum())
    slots = [["primary", "wrist"] if wrist else ["primary"] for wrist in facts["wrist"].tolist()]
    given = {**facts, "key": facts["episode_id"], "first": np.zeros(n, int), "count": steps, "cameras": slots}
    given |= {"members": members, "offsets": offsets, "sizes": sizes}
    given["split_group"] = [group or "" for group in facts["split_group"]]
    schema = INDEX.append(pa.field("split_group", pa.string())).with_metadata({"villa": json.dumps(entry)})
    table = pa.Table.from_arrays([pa.array(given[f.name], f.type) for f in schema], schema=schema)
    pq.write_table(table, buffer := io.BytesIO())
    (folder / f"shard-{number:06d}.parquet").write_bytes(buffer.getvalue())
    with (folder / entry["name"]).open("wb") as tar:
        os.truncate(tar.fileno(), end)
    return {**entry, "index_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}


def write_manifest(folder: Path, entries: list[dict[str, Any]], count: int, steps: int) -> None:
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "identity": {"uri": "made", "version": 1, "fingerprint": "0" * 16},
        "latents": [{"name": "lam", "fingerprint": "0", "k": 4, "d": 32, "interval_s": 0.4}],
        "slots": ["primary", "wrist"],
        "num_episodes": count,
        "num_samples": count,
        "num_steps": steps,
        "num_bytes": sum(entry["num_bytes"] for entry in entries),
        **{name: {} for name in ("shares", "datasets", "embodiments", "statistics")},
        "shards": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(with_checksum(manifest)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
    print("written")
