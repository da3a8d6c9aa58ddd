"""RLDS: a TFDS directory of episodes, read without tensorflow.

<name>/<version>/ holds dataset_info.json (splits, records per shard), features.json (what a record holds) and shards
`<name>-<split>.tfrecord-00000-of-01024`; one record is one episode, all its steps inside.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataengine import storage
from dataengine.errors import RecordError, SourceError
from dataengine.formats import example, features, files, json_file, remote, tfrecord
from dataengine.naming import did_you_mean
from dataengine.reading import one_line, reading
from dataengine.storage import is_uri

INFO = "dataset_info.json"
FEATURES = "features.json"
MANY, MOST_LISTED = 5, 100
"""Folders looked into for a better answer than "not here"."""
DEFAULT_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclass(frozen=True)
class Shard:
    """One TFRecord file of a split."""

    uri: str
    """Path, or URI in an object store."""
    split: str
    num_records: int
    """As dataset_info.json promises."""
    num_bytes: int
    """Size of the file; 0 when it is not there."""
    modified_ns: int = 0

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.uri.partition("?")[0].rpartition("/")[2]


def schema(directory: str | Path) -> features.FeaturesDict:
    """Read what a record of this directory holds."""
    path = storage.join(_directory(directory), FEATURES)
    try:
        return features.parse(json_file.read(path), path)
    except json_file.JsonError as error:
        raise SourceError(f"{path}: {error}; copy it again") from error


def name(directory: str | Path) -> str:
    """Name that the publisher gave the dataset; a folder may have been renamed since."""
    return _info(directory).name


def version(directory: str | Path) -> str:
    """Version of the dataset, as its publisher counts; empty where dataset_info.json says none."""
    return _info(directory).version


def shards(directory: str | Path, split: str | None = None) -> list[Shard]:
    """List the files of a split, or of all, in order; nothing is opened but dataset_info.json."""
    uri = _directory(directory)
    info = _info(uri)
    there = remote.listing(uri) or {}
    listed = []
    for name, lengths, template in info.splits:
        for i, num_records in enumerate(lengths):
            file = _file_name(template, info.name, name, i, len(lengths))
            if "/" in file or "\\" in file or file in (".", ".."):
                raise SourceError(f"{storage.join(uri, INFO)}: shard '{file}' lies outside the folder")
            entry = there.get(file)
            facts = (0, 0) if entry is None or entry.is_folder else (entry.num_bytes, entry.modified_ns)
            listed.append(Shard(storage.join(uri, file), name, num_records, *facts))
    splits = sorted({shard.split for shard in listed})
    if split is not None and split not in splits:
        raise SourceError(f"{uri}: no split '{split}'; {did_you_mean(split, splits)}")
    return [shard for shard in listed if split in (None, shard.split)]


def read_shard(
    path: str | Path, schema: features.FeaturesDict, num_records: int | None = None
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
            with reading():
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
        for index, episode in read_shard(shard.uri, node, shard.num_records):
            if isinstance(episode, RecordError):
                raise RecordError(f"{shard.name} record {index}: {episode}")
            yield episode


class _Info(NamedTuple):
    name: str
    splits: list[tuple[str, list[int], str]]
    """Name, records of each shard, template of the file names."""
    version: str


def _info(directory: str | Path) -> _Info:
    """Read dataset_info.json; numbers in it are strings."""
    path = storage.join(_directory(directory), INFO)
    try:
        info = json_file.read(path)
        file_format = str(info.get("fileFormat") or "tfrecord")
        splits = [
            (str(s["name"]), [int(n) for n in s.get("shardLengths", [])], str(s.get("filepathTemplate") or ""))
            for s in info.get("splits", [])
        ]
        parsed = _Info(str(info["name"]), splits, str(info.get("version") or ""))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # a JsonError is one
        reason = one_line(f"{type(error).__name__}: {error}")
        raise SourceError(f"{path}: not a TFDS dataset_info ({reason}); copy it again") from error
    if file_format != "tfrecord":
        raise SourceError(f"{path}: files are {file_format}, expected tfrecord; convert them with tfds")
    return parsed


def _directory(directory: str | Path) -> str:
    """Return the folder, or say in one line why it is no TFDS directory and which one is meant."""
    uri = str(directory)
    there = remote.listing(uri)
    expected = "expected a TFDS folder such as .../<name>/<version>; check the path"
    if there is None:
        raise SourceError(f"{uri}: found {'a file' if remote.entry(uri) else 'nothing'}, {expected}")
    missing = [file for file in (INFO, FEATURES) if file not in there]
    if not missing:
        if not is_uri(uri):
            files.inside_or_stop(Path(uri), INFO, FEATURES)
        return uri
    if not is_uri(uri):
        above = Path(uri).parent
        if all((above / file).is_file() for file in (INFO, FEATURES)):
            raise SourceError(f"{uri}: one level too low; pass {above}")
    deeper = _below(uri, there)
    if len(deeper) == 1:
        raise SourceError(f"{uri}: no {INFO} here; pass {storage.join(uri, deeper[0])}")
    if deeper:
        raise SourceError(f"{uri}: holds {len(deeper)} datasets ({', '.join(deeper[:MANY])}); pass one of them")
    problem = "no " + " and no ".join(missing) if there else "an empty folder"
    raise SourceError(f"{uri}: found {problem}, {expected}")


def _below(uri: str, there: Mapping[str, remote.FileInfo]) -> list[str]:
    """Find TFDS folders one or two levels down, by their names below `uri`."""
    names = []
    for name in sorted(name for name, entry in there.items() if entry.is_folder)[:MOST_LISTED]:
        inside = remote.listing(storage.join(uri, name)) or {}
        if INFO in inside:
            names.append(name)
            continue
        versions = sorted(version for version, entry in inside.items() if entry.is_folder)[:MANY]
        names += [
            f"{name}/{version}"
            for version in versions
            if INFO in (remote.listing(storage.join(uri, f"{name}/{version}")) or {})
        ]
    return names


def _file_name(template: str, dataset: str, split: str, index: int, count: int) -> str:
    """Fill the publisher's template for one shard; at least five digits."""
    values = {
        "DATASET": dataset,
        "SPLIT": split,
        "FILEFORMAT": "tfrecord",
        "SHARD_INDEX": f"{index:05d}",
        "NUM_SHARDS": f"{count:05d}",
        "SHARD_X_OF_Y": f"{index:05d}-of-{count:05d}",
    }
    name = template or DEFAULT_TEMPLATE
    for key, value in values.items():
        name = name.replace(f"${{{key}}}", value).replace(f"{{{key}}}", value)
    return name
