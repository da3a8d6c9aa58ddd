"""What stages read and write, and by what each is known: its content, never the time of a file.

A corpus is written by several commands, so what each of them adds is an artifact by itself: its episodes, hands of
people, what curation kept, statistics, latent actions.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from dataengine.errors import DataEngineError
from dataengine.formats import json_file
from dataengine.reading import is_of_the_machine, one_line
from dataengine.schema import KEEP, TRIMS
from dataengine.shards.manifest import MANIFEST, DamagedShardsError, content_digest, index_of, parsed
from dataengine.shards.reader import is_shards
from dataengine.storage import Folder, is_uri, normal_uri
from dataengine.windows import labels

if TYPE_CHECKING:
    from dataengine.store import Corpus

EPISODES = ("episode_id", "num_steps", "source_fingerprint")
WEIGHTS, ABOUT = "model.safetensors", "model_config.json"
OF_MODEL = ("architecture", "config", "statistics")
"""What a model is beside its weights; its file also says who trained it when, by which revision of the code."""
BEFORE = {
    "hands": ("episodes",),
    "kept": ("episodes", "hands"),
    "statistics": ("episodes", "hands", "kept"),
    "data": ("episodes", "hands", "kept", "statistics"),
}
"""What must be written before an artifact of the same corpus is read."""
ABSENT = ""
"""Identity of what is not there."""


@dataclass(frozen=True)
class Artifact:
    """One thing at rest."""

    kind: str
    """`episodes`, `hands`, `kept`, `statistics`, `latents` of a corpus; `data`: a corpus or shards, to train on;
    `shards`, `model`, `snapshot`, `folder`, `files`."""
    uri: str
    name: str = ""
    """Of latent actions; empty for all of a corpus."""

    @property
    def path(self) -> str:
        """Where it lies, written in one way; a snapshot without its name."""
        return str(normal_uri(self.uri.partition("@")[0] if not is_uri(self.uri) else self.uri))

    def comes_after(self, written: "Artifact") -> bool:
        """Tell whether it can be read only once the other artifact is written."""
        if written.kind == "snapshot":
            return "@" in self.uri and normal_uri(self.uri) == normal_uri(written.uri)
        if written.kind == "files":
            return Path(self.path) == Path(written.path) or Path(written.path) in Path(self.path).parents
        if self.path != written.path:
            return False
        if self.kind == written.kind == "latents":
            return self.name in ("", written.name)
        return self.kind == written.kind or written.kind in BEFORE.get(self.kind, ()) or self._is_whole(written)

    def _is_whole(self, written: "Artifact") -> bool:
        return self.kind in ("data", "latents") and written.kind == "shards"


@dataclass
class Identities:
    """Tells artifacts by their content; large files are hashed once."""

    hashes: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Of files, by path: size, time and SHA-256. The time only says that a file need not be hashed again. Shards
    wherever they lie, by the checksum that they were written with."""

    def of(self, artifact: Artifact) -> str:
        """Give the identity of an artifact; empty where it is not there."""
        if artifact.kind in ("files", "folder"):
            return self._files(Path(artifact.path), whole=artifact.kind == "files")
        if artifact.kind == "model":
            return self._model(Path(artifact.path))
        if artifact.kind == "shards":
            return self._shards(artifact.path)
        if artifact.kind == "data" and self._shards(artifact.path):
            return self._shards(artifact.path)
        if artifact.kind == "latents" and self._shards(artifact.path):
            return "in the shards"
        return _of_corpus(artifact)

    def sha256(self, file: Path) -> str:
        """Hash a file, unless it is as it was when it was hashed last."""
        facts, key = file.stat(), str(file.absolute())
        known = self.hashes.get(key)
        if known is None or (known[0], known[1]) != (facts.st_size, facts.st_mtime_ns):
            with file.open("rb") as opened:
                known = (facts.st_size, facts.st_mtime_ns, hashlib.file_digest(opened, "sha256").hexdigest())
            self.hashes[key] = known
        return known[2]

    def _model(self, folder: Path) -> str:
        if not (folder / WEIGHTS).is_file() or not (folder / ABOUT).is_file():
            return ABSENT
        try:
            about = json_file.as_object(json_file.read(folder / ABOUT))
        except json_file.JsonError as error:
            raise DataEngineError(
                f"{folder / ABOUT}: damaged since it was written ({error}); move it away, and the same command writes "
                f"it again"
            ) from None
        return _joined([self.sha256(folder / WEIGHTS), *(repr(about.get(key)) for key in OF_MODEL)])

    def _shards(self, uri: str) -> str:
        """Give the digest of a manifest, which holds the checksums of all that lies beside it.

        Shards of which a file is missing or cut short are not there: `villa shard` writes what it misses.
        """
        if not is_shards(uri):
            return ABSENT
        folder = Folder(uri)
        sizes = folder.sizes()
        if MANIFEST not in sizes:
            return ABSENT
        try:
            values, manifest = parsed(folder.read(MANIFEST), f"{uri}/{MANIFEST}")
        except DamagedShardsError:
            return ABSENT
        for entry in manifest.shards:
            if sizes.get(entry.name) != entry.num_bytes or index_of(Path(), entry).name not in sizes:
                return ABSENT
            if not is_uri(uri):
                self._expect(Path(uri, entry.name), entry.sha256)
        return content_digest(values)

    def _expect(self, file: Path, sha256: str) -> None:
        """Raise DataEngineError for a file that was written to since it was seen first, and is another now."""
        facts, key = file.stat(), f"written {sha256}"
        stamp = facts.st_size, facts.st_mtime_ns
        # Hashing all shards of a corpus takes hours: those just written are trusted.
        size, time_ns, _ = self.hashes.setdefault(key, (*stamp, sha256))
        if (size, time_ns) == stamp:
            return
        if self.sha256(file) != sha256:
            raise DataEngineError(
                f"{file}: damaged since it was written; delete it, and the same command writes it again"
            )
        self.hashes[key] = (*stamp, sha256)

    def _files(self, path: Path, *, whole: bool) -> str:
        """Hash a file, or all files of a folder with their names; of a command's own folder only that it is there."""
        if path.is_file():
            return self.sha256(path)
        if not path.is_dir() or not whole:
            return "there" if path.is_dir() else ABSENT
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".villa"))
        return _joined([f"{file.relative_to(path)} {self.sha256(file)}" for file in files]) if files else ABSENT


def _of_corpus(artifact: Artifact) -> str:
    """Give the identity of a part of a corpus, whatever version of the table holds it."""
    from dataengine.store import Corpus  # here: every stage is a process that imports this file, few look at a corpus

    if not Corpus.exists(artifact.uri):
        return ABSENT
    try:
        corpus = Corpus.open(artifact.uri)
    except DataEngineError:  # a snapshot that is not taken yet
        return ABSENT
    identity_of = {
        "episodes": _episodes,
        "hands": _hands,
        "kept": _kept,
        "statistics": _statistics,
        "data": _data,
        "snapshot": _data,
        "latents": lambda corpus: _latents(corpus, artifact.name),
    }[artifact.kind]
    try:
        return identity_of(corpus)
    except (OSError, pa.ArrowException) as error:  # as which Lance raises what it meets in a damaged file
        if is_of_the_machine(error):
            raise
        raise DataEngineError(
            f"{artifact.path}: its {artifact.kind} cannot be read ({one_line(str(error), 100)}); `villa corpus verify "
            f"{artifact.path}` names damaged files: bring them back from a copy, or move the corpus away, and the same "
            f"command ingests again"
        ) from None


def _episodes(corpus: "Corpus") -> str:
    return _rows(corpus, EPISODES) if len(corpus) else ABSENT


def _hands(corpus: "Corpus") -> str:
    return _rows(corpus, ("episode_id", "hands_source", "hands_estimated"))


def _kept(corpus: "Corpus") -> str:
    """Tell which steps count; of a corpus that was never curated, all."""
    return _rows(corpus, ("episode_id", "num_steps", KEEP, *TRIMS))


def _statistics(corpus: "Corpus") -> str:
    """Hash the statistics as other readers see them, without the sketches behind them."""
    table = corpus.stats()
    if table is None:
        return ABSENT
    plain = [name for name in table.schema.names if not name.startswith("sketch")]
    return _joined([repr(row) for row in table.select(plain).to_pylist()])


def _data(corpus: "Corpus") -> str:
    return _joined([_episodes(corpus), _kept(corpus), _statistics(corpus)])


def _latents(corpus: "Corpus", name: str) -> str:
    """Name the models that wrote latent actions, and the episodes that have some."""
    known = labels.label_names(corpus.schema)
    wanted = [each for each in known if name in ("", each)]
    infos = {each: labels.label_info(corpus.schema, each) for each in wanted}
    codes = {each: labels.codes_column(each) for each in wanted}
    rows = [
        _digest(corpus.table(["episode_id"], where=f"{codes[each]} IS NOT NULL"), ("episode_id",)) for each in wanted
    ]
    origins = [f"{i.name} {i.fingerprint} {i.k} {i.d} {i.interval_s} {i.past_frames}" for i in infos.values()]
    return _joined([*origins, *rows]) if wanted else ABSENT


def _rows(corpus: "Corpus", columns: Sequence[str]) -> str:
    there = [name for name in columns if name in corpus.schema.names]
    return _digest(corpus.table(there), there)


def _digest(table: pa.Table, columns: Sequence[str]) -> str:
    """Hash columns in the order of the episodes' ids, which no storage decides."""
    digest = hashlib.sha256()
    ordered = table.sort_by("episode_id")
    for name in columns:
        digest.update(f"{name}\n".encode())
        for chunk in ordered[name].chunks:
            digest.update("\n".join(map(str, chunk.to_pylist())).encode())
            digest.update(b"\n")
    return digest.hexdigest()[:16]


def _joined(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
