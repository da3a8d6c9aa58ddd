"""Pieces of an act, each kept as it ends: a killed command goes on behind the last one.

A piece holds for as long as all that it was made of is the same; what that is, its maker hashes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dataengine.whole_file import write_whole
from pipelines.output.folder import OutputFolder

FOLDER = "pieces"
M = TypeVar("M", bound=BaseModel)


class _Piece(BaseModel, Generic[M]):
    model_config = ConfigDict(extra="forbid")

    made_of: str
    result: M


class KeptPieces(Generic[M]):
    """Results of one kind below an output folder, a file each."""

    def __init__(self, out: OutputFolder, kind: type[M]) -> None:
        self._out, self._folder = out, out.root / FOLDER
        self._piece = _Piece[kind]  # type: ignore[valid-type]
        out.claim(f"{FOLDER}/")

    def resume(self, made_of: Mapping[str, str], files: Callable[[M], Sequence[str]], *patterns: str) -> dict[str, M]:
        """Give the pieces that hold, by name, whose files are all there; delete the others.

        Of the files that match `patterns` those stay that such a piece has.
        """
        known = {name: one for name, digest in made_of.items() if (one := self._read(name, digest))}
        kept = {n: one for n, one in known.items() if all((self._out.root / file).is_file() for file in files(one))}
        self._out.remove(*patterns, keep={file for one in kept.values() for file in files(one)})
        for file in self._folder.glob("*.json"):
            if file.stem not in kept:
                file.unlink()
        return kept

    def keep(self, name: str, made_of: str, result: M) -> None:
        """Keep a piece, whole or not at all."""
        write_whole(self._file(name), self._piece(made_of=made_of, result=result).model_dump_json())

    def _read(self, name: str, made_of: str) -> M | None:
        """Give a piece; None where there is none, or where it was made of something else."""
        try:
            piece = self._piece.model_validate_json(self._file(name).read_bytes())
        except (FileNotFoundError, ValidationError):  # of another version, or damaged: made anew
            return None
        return piece.result if piece.made_of == made_of else None

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"
