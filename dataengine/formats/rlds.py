"""RLDS: a TFDS directory of episodes, read without tensorflow.

<name>/<version>/ holds dataset_info.json (splits, records per shard), features.json (what a record holds) and shards
`<name>-<split>.tfrecord-00000-of-01024`; one record is one episode, all its steps inside.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataengine.errors import RecordError, SourceError
from dataengine.formats import example, features, tfrecord

INFO = "dataset_info.json"
FEATURES = "features.json"
DEFAULT_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclass(frozen=True)
class Shard:
    """One TFRecord file of a split."""

    path: Path
    split: str
    num_records: int
    """As dataset_info.json promises."""
    num_bytes: int
    """Size of the file; 0 when it is not there."""


def schema(directory: str | Path) -> features.Group:
    """Read what a record of this directory holds."""
    path = _directory(directory) / FEATURES
    return features.parse(path.read_text(encoding="utf-8"), str(path))


def name(directory: str | Path) -> str:
    """Name that the publisher gave the dataset; a folder may have been renamed since."""
    return _info(directory).name


def shards(directory: str | Path, split: str | None = None) -> list[Shard]:
    """List the files of a split, or of all, in order; nothing is opened but dataset_info.json."""
    place = _directory(directory)
    info = _info(place)
    found = []
    for name, lengths, template in info.splits:
        for i, num_records in enumerate(lengths):
            path = place / _file_name(template, info.name, name, i, len(lengths))
            if not path.resolve().is_relative_to(place.resolve()):
                raise SourceError(f"{place / INFO}: shard '{path.name}' lies outside the folder")
            num_bytes = path.stat().st_size if path.is_file() else 0
            found.append(Shard(path, name, num_records, num_bytes))
    splits = sorted({shard.split for shard in found})
    if split is not None and split not in splits:
        raise SourceError(f"{place}: no split '{split}'; it has {', '.join(splits) or 'none'}")
    return [shard for shard in found if split in (None, shard.split)]


def read_shard(
    path: str | Path, schema: features.Group, num_records: int | None = None
) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """Yield (record index, episode) for each record of a file; a bad record comes as the error that says why.

    With `num_records`, a file that ends cleanly but too early yields one more error for what is lacking.
    """
    count = 0
    lost = False
    for index, payload in tfrecord.records(path):
        count, lost = index + 1, isinstance(payload, RecordError)
        if isinstance(payload, RecordError):
            yield index, payload
            continue
        try:
            yield index, example.decode(payload, schema)
        except RecordError as error:
            yield index, error
    if num_records is not None and count < num_records and not lost:
        yield count, RecordError(f"the file ends after {count} records, dataset_info.json promises {num_records}")


def episodes(directory: str | Path, split: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield one nested dict per episode, named as tfds names it; `steps` holds arrays over time.

    Images are lists of encoded bytes, text is str. Raise RecordError at the first bad record; `read_shard` goes on.
    """
    node = schema(directory)
    for shard in shards(directory, split):
        for index, episode in read_shard(shard.path, node, shard.num_records):
            if isinstance(episode, RecordError):
                raise RecordError(f"{shard.path.name} record {index}: {episode}")
            yield episode


class _Info(NamedTuple):
    name: str
    splits: list[tuple[str, list[int], str]]
    """Name, records of each shard, template of the file names."""


def _info(directory: str | Path) -> _Info:
    """Read dataset_info.json; numbers in it are strings."""
    path = _directory(directory) / INFO
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        file_format = str(info.get("fileFormat") or "tfrecord")
        splits = [
            (str(s["name"]), [int(n) for n in s.get("shardLengths", [])], str(s.get("filepathTemplate") or ""))
            for s in info.get("splits", [])
        ]
        found = _Info(str(info["name"]), splits)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSONDecodeError is a ValueError
        raise SourceError(
            f"{path}: not a TFDS dataset_info ({type(error).__name__}: {error}); copy it again"
        ) from error
    if file_format != "tfrecord":
        raise SourceError(f"{path}: files are {file_format}, expected tfrecord; convert them with tfds")
    return found


def _directory(directory: str | Path) -> Path:
    """Return the folder, or say in one line why it is no TFDS directory and which one is meant."""
    place = Path(directory)
    if not place.is_dir():
        found = "a file" if place.exists() else "nothing"
        raise SourceError(
            f"{place}: found {found}, expected a TFDS folder such as .../<name>/<version>; check the path"
        )
    missing = [file for file in (INFO, FEATURES) if not (place / file).is_file()]
    if not missing:
        return place
    if all((place.parent / file).is_file() for file in (INFO, FEATURES)):
        raise SourceError(f"{place}: one level too low; pass {place.parent}")
    deeper = sorted({path.parent for pattern in ("*", "*/*") for path in place.glob(f"{pattern}/{INFO}")})
    if len(deeper) == 1:
        raise SourceError(f"{place}: no {INFO} here; pass {deeper[0]}")
    if deeper:
        names = ", ".join(str(path.relative_to(place)) for path in deeper[:5])
        raise SourceError(f"{place}: holds {len(deeper)} datasets ({names}); pass one of them")
    found = "an empty folder" if not any(place.iterdir()) else "no " + " and no ".join(missing)
    raise SourceError(f"{place}: found {found}, expected a TFDS folder with {INFO} and {FEATURES}; check the path")


def _file_name(template: str, dataset: str, split: str, index: int, count: int) -> str:
    """Fill the publisher's template for one shard; at least five digits."""
    words = {
        "DATASET": dataset,
        "SPLIT": split,
        "FILEFORMAT": "tfrecord",
        "SHARD_INDEX": f"{index:05d}",
        "NUM_SHARDS": f"{count:05d}",
        "SHARD_X_OF_Y": f"{index:05d}-of-{count:05d}",
    }
    name = template or DEFAULT_TEMPLATE
    for word, value in words.items():
        name = name.replace(f"${{{word}}}", value).replace(f"{{{word}}}", value)
    return name
