"""Columns of the corpus's tables; any Lance client can read them, this file says what they mean.

`episodes.lance` holds one row for each episode. Vectors lie flat: `state` has `num_steps * state_dim` values, row by
row, and is NULL where an episode has none. Camera slot `<slot>` has columns of its own: the JPEGs one after another in
the blob `frames_<slot>`, their t + 1 boundaries in `offsets_<slot>`, the CRC-32C of the blob, and the sizes in pixels;
all NULL where it has no such camera. Stages and models add columns later (`quality__*`, `keep`, `reject_reason`,
`trim_start`, `trim_end`, `latent__*`, `codes__*`).
"""

from typing import Final

import pyarrow as pa

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import CorpusError

SCHEMA_VERSION: Final = 1
"""Rises when columns change their meaning; stored with every table."""

VERSION_KEY: Final = b"villa:schema_version"

ROBOTS_KEY: Final = b"villa:robots"
"""Of `stats.lance`: `Corpus.robots_hash` of the episodes that were measured."""

QUALITY: Final = "quality__"
"""Begins the names of columns that curation measures."""
KEEP: Final = "keep"
"""Column that says whether curation keeps an episode; NULL where it has not checked. `store/kept.py` reads it."""

TRIMS: Final = ("trim_start", "trim_end")
"""Columns that say how many steps of an episode's head and tail do not count; NULL for none."""

CANONICAL: Final = ("state", "action")
"""Flat float32 columns; `<name>_dim` says how many values a step has, 0 for none."""

RAW: Final = ("raw_state", "raw_action")
"""The same in float64; float32 in corpora from before. `<name>_exact` holds what float64 would round, as int64: all
steps of the values that `<name>_exact_dims` lists, row by row; NULL in nearly every episode."""

VECTORS: Final = (*CANONICAL, *RAW)

_KEY: Final = {"lance-schema:unenforced-primary-key": "true"}
"""Makes concurrent `merge_insert`s of one key conflict, so that only one of them inserts."""

_COUNT = pa.int32()


def frames_column(slot: str) -> str:
    """Name the blob of a camera's JPEGs."""
    return f"frames_{slot}"


def offsets_column(slot: str) -> str:
    """Name the t + 1 byte offsets of a camera's JPEGs in its blob."""
    return f"offsets_{slot}"


def checksum_column(slot: str) -> str:
    """Name the CRC-32C of a camera's blob; NULL also in rows of corpora from before there was one."""
    return f"crc32c_{slot}"


def exact_column(name: str) -> str:
    """Name the whole numbers of a raw vector that float64 rounds."""
    return f"{name}_exact"


def exact_dims_column(name: str) -> str:
    """Name the list of those of its values."""
    return f"{name}_exact_dims"


CUT: Final = (
    *(pa.field(name, pa.string()) for name in ("video", "split_group")),
    *(pa.field(name, pa.float64()) for name in ("label_start_s", "label_end_s", "clip_start_s", "clip_end_s")),
    pa.field("text_source", pa.string()),
)
"""Where in a longer video a clip was cut (`episode.Cut`); NULL for robots, and in corpora from before there was one."""

HANDS: Final = (
    *(pa.field(name, pa.string()) for name in ("hands_source", "hands_frame", "hands_lens")),
    pa.field("hands_estimated", pa.bool_()),
    pa.field("hands_sides", pa.list_(pa.string())),
    pa.field("hands_present", pa.list_(pa.bool_())),
    *(
        pa.field(f"hands_{name}", pa.list_(pa.float32()))
        for name in ("confidence", "wrist", "keypoints", "keypoints_2d", "box", "intrinsics", "camera")
    ),
)
"""Hands of people (`hands.Hands`), flat: `hands_sides` names s sides, `hands_present` and `hands_confidence` have s * t
values, side by side, `hands_wrist` s * t * 7, `hands_keypoints` s * t * 21 * 3, `hands_keypoints_2d` s * t * 21 * 2 and
`hands_box` s * t * 4. `hands_intrinsics` is fx fy cx cy, then the distortion; `hands_camera` t * 7. NULL where a source
has none, for robots, and in corpora from before there were hands."""

TEXTS: Final = pa.list_(
    pa.struct([pa.field("start", _COUNT), pa.field("end", _COUNT), pa.field("phrases", pa.list_(pa.string()))])
)
"""Texts of an episode: paraphrases that hold for steps `start` to `end`, without `end`."""


FRAMES: Final = tuple(frames_column(slot) for slot in CAMERA_SLOTS)
"""Blob columns: declared here as plain bytes, stored as Lance blobs."""


def _key(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata=_KEY)


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


def _table(*fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION)})


def _camera(slot: str) -> list[pa.Field]:
    sizes = (f"{name}_{slot}" for name in ("height", "width", "native_height", "native_width"))
    return [
        pa.field(frames_column(slot), pa.large_binary()),
        pa.field(offsets_column(slot), pa.list_(pa.int64())),
        *(pa.field(name, _COUNT) for name in sizes),
        pa.field(checksum_column(slot), pa.uint32()),
    ]


EPISODES: Final = _table(
    _key("episode_id", pa.string()),
    pa.field("dataset", pa.string()),
    pa.field("dataset_id", _COUNT),
    pa.field("embodiment", pa.string()),
    pa.field("embodiment_id", _COUNT),
    pa.field("kind", pa.string()),
    pa.field("control_hz", pa.float64()),
    pa.field("num_steps", _COUNT),
    pa.field("instruction", pa.list_(pa.string())),  # every different phrase of the texts, in order
    pa.field("texts", TEXTS),  # NULL in rows of corpora from before there were spans: all hold for the whole episode
    pa.field("time_ns", pa.list_(pa.int64())),
    *(pa.field(name, pa.list_(pa.float32())) for name in CANONICAL),
    *(pa.field(name, pa.list_(pa.float64())) for name in RAW),
    *(pa.field(f"{name}_dim", _COUNT) for name in VECTORS),
    *(pa.field(exact_column(name), pa.list_(pa.int64())) for name in RAW),
    *(pa.field(exact_dims_column(name), pa.list_(_COUNT)) for name in RAW),
    *_texts("state_encoding", "action_encoding"),
    *(column for slot in CAMERA_SLOTS for column in _camera(slot)),
    *CUT,
    *HANDS,
    *_texts("split", "licence", "source_uri", "source_record", "source_fingerprint", "part_id", "run_id"),
    pa.field("notes", pa.string()),  # JSON object of strings
)

REJECTS: Final = _table(
    _key("reject_id", pa.string()),  # hash of part_id and record, so that a second attempt adds no second row
    *_texts("part_id", "dataset", "source_uri", "record", "reason", "error"),
    pa.field("attempts", _COUNT),
    *_texts("traceback_digest", "source_fingerprint", "run_id"),
)

EMBODIMENTS: Final = _table(_key("id", _COUNT), *_texts("name", "kind"), pa.field("control_hz", pa.float64()))

DATASETS: Final = _table(_key("id", _COUNT), *_texts("name", "kind", "embodiment", "licence", "layout"))

RUNS: Final = _table(
    _key("run_id", pa.string()),
    *_texts("command", "config"),  # config is JSON
    pa.field("started_at", pa.timestamp("us", tz="UTC")),
    pa.field("seconds", pa.float64()),
    pa.field("version_in", pa.int64()),
    pa.field("version_out", pa.int64()),
    pa.field("steps_per_second", pa.float64()),
    pa.field("counts", pa.string()),  # JSON
)

SNAPSHOTS: Final = _table(
    _key("name", pa.string()),
    pa.field("created_at", pa.timestamp("us", tz="UTC")),
    *_texts("versions", "filter"),  # versions of all tables, as JSON; SQL over the columns of episodes
    pa.field("episodes", pa.int64()),
    pa.field("steps", pa.int64()),
    *_texts("datasets", "content_hash"),  # episodes by dataset, as JSON; hash of the sorted ids of episodes
    pa.field("mixture", pa.string()),  # settings of the mixture, as JSON; NULL for none
)


def check_version(schema: pa.Schema, uri: str) -> None:
    """Refuse a table that a newer villa wrote, or that no villa wrote."""
    version = (schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise CorpusError(f"{uri}: found a table without {VERSION_KEY.decode()}, expected one that villa wrote")
    if int(version) > SCHEMA_VERSION:
        raise CorpusError(
            f"{uri}: found schema version {version.decode()}, this villa reads up to {SCHEMA_VERSION}; "
            "upgrade villa-engine"
        )
