"""Receipts: what a worker staged for one part. Written at once, below `<corpus>/_staging/`, before any commit."""

import json
import uuid
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import lance

from dataengine.digest import hex_digest
from dataengine.episode import Reject
from dataengine.errors import CorpusError
from dataengine.storage import Folder
from dataengine.store.tables import table_uri


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Files of one part that lie ready to be committed, and the records that were put aside."""

    part_id: str
    part_name: str
    dataset: str
    fingerprint: str
    """Of the part when it was read, and of the settings it was read with."""
    schema_version: int
    """Of the rows: receipts of another one are not committed."""
    run_id: str
    fragments: tuple[str, ...]
    """Lance fragment metadata, as JSON."""
    files: tuple[tuple[str, int], ...]
    """Path below the table's data folder and bytes of every staged file."""
    rejects: tuple[Reject, ...]
    num_episodes: int
    num_steps: int
    num_bytes: int
    """Bytes of frames staged."""
    source_bytes: int
    """Bytes of the raw part."""
    attempts: int
    episode_ids: tuple[str, ...] = ()
    num_known: int = 0
    """Records that were in the corpus already, and read as they did then."""
    notes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Serious notes of the episodes: how many have each text, by key."""

    def to_json(self) -> str:
        """Serialise, with a checksum; `from_json` undoes it."""
        text = json.dumps(asdict(self))
        return json.dumps({"receipt": text, "checksum": _checksum(text)})

    @classmethod
    def from_json(cls, text: str | bytes) -> "Receipt":
        """Undo `to_json`; raise CorpusError for anything that is not just what it wrote."""
        try:
            whole = json.loads(text)
            if _checksum(whole["receipt"]) != whole["checksum"]:
                raise ValueError("its checksum is another")
            data = json.loads(whole["receipt"])
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise CorpusError(f"a receipt is damaged ({error!s:.200}); its part is read again without it") from error
        data["fragments"] = tuple(data["fragments"])
        data["episode_ids"] = tuple(data.get("episode_ids", ()))
        data["files"] = tuple((name, size) for name, size in data["files"])
        data["rejects"] = tuple(Reject(**reject) for reject in data["rejects"])
        return cls(**data)


class Receipts:
    """The receipts of a corpus that are not committed yet."""

    def __init__(self, corpus: str) -> None:
        self.corpus = corpus
        self._folder = Folder(f"{corpus}/_staging")

    def put(self, receipt: Receipt) -> None:
        """Store a receipt; from now on its part need not be read again."""
        self._folder.write(f"{receipt.part_id}.{uuid.uuid4().hex[:8]}.json", receipt.to_json().encode())

    def staged(self, part_ids: Container[str] | None = None) -> list[Receipt]:
        """Read the receipts of some parts, or of all: two of one that was read twice, none that is damaged."""
        receipts = []
        for name in self._names(part_ids):
            try:
                receipts.append(Receipt.from_json(self._folder.read(name)))
            except (FileNotFoundError, CorpusError):  # another committer was faster, or the disk rots
                continue
        return receipts

    def drop(self, part_ids: Container[str]) -> None:
        """Forget the receipts of some parts.

        Their files stay: a committed version may hold them. Lance's own cleanup removes what no version holds.
        """
        for name in self._names(part_ids):
            self._folder.delete(name)

    def missing_file(self, receipt: Receipt) -> str | None:
        """Name a staged file that is gone or has another size now, if there is one."""
        sizes = data_folder(self.corpus).sizes_of([path for path, _ in receipt.files])
        return next((path for (path, size), now in zip(receipt.files, sizes, strict=True) if now != size), None)

    def _names(self, part_ids: Container[str] | None) -> list[str]:
        names = sorted(name for name in self._folder.sizes() if name.endswith(".json"))
        return [name for name in names if part_ids is None or name.partition(".")[0] in part_ids]


def _checksum(text: str) -> str:
    return hex_digest(text, 16)


def data_folder(corpus: str, below: str = "") -> Folder:
    """Where Lance keeps the files of `episodes.lance`."""
    return Folder(f"{table_uri(corpus, 'episodes')}/data" + (f"/{below}" if below else ""))


def files_of(corpus: str, fragment: lance.FragmentMetadata) -> Iterator[tuple[str, int]]:
    """List a fragment's files and their bytes: tables, and blobs in a folder named after each."""
    folder = data_folder(corpus)
    for file in fragment.files:
        (size,) = folder.sizes_of([file.path])
        if size is None:
            raise FileNotFoundError(f"{folder.uri}/{file.path}: written just now, but gone")
        yield file.path, size
        blobs = file.path.removesuffix(".lance")
        for name, num_bytes in sorted(data_folder(corpus, blobs).sizes().items()):
            yield f"{blobs}/{name}", num_bytes
