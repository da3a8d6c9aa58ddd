"""Pieces of an act, each kept as it ends: a killed command goes on behind the last one.

A piece holds for as long as all that it was made of is the same; what that is, its maker hashes.
"""

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
        self._folder, self._piece = out.root / FOLDER, _Piece[kind]  # type: ignore[valid-type]
        out.claim(f"{FOLDER}/")

    def read(self, name: str, made_of: str) -> M | None:
        """Give a piece; None where there is none, or where it was made of something else."""
        try:
            piece = self._piece.model_validate_json(self._file(name).read_bytes())
        except (FileNotFoundError, ValidationError):  # of another version, or damaged: made anew
            return None
        return piece.result if piece.made_of == made_of else None

    def keep(self, name: str, made_of: str, result: M) -> None:
        """Keep a piece, whole or not at all."""
        write_whole(self._file(name), self._piece(made_of=made_of, result=result).model_dump_json())

    def forget_all_but(self, names: set[str]) -> None:
        """Delete what is of no use any more."""
        for file in self._folder.glob("*.json"):
            if file.stem not in names:
                file.unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"
